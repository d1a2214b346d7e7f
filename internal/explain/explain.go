// Package explain holds what the reader of a build log is told about a failure: what was said, what it means here, and
// what to do. Errors of the rooms that know more than their one line implement [Explainer]; how an [Explanation] looks in
// the log and on the build page is the business of step.
//
// The package imports the standard library alone.
package explain

// Explanation is a failure for a person. It holds no secret.
type Explanation struct {
	// Cause is the one line that names the cause; it stands last in the log, where it has to do alone. Lower case, no full
	// stop.
	Cause string
	// Said is what the other side said, in its words, a line for each who said something; empty if nobody did.
	Said string
	// Means is what that means here, a paragraph each. Nothing stands here that is not known, or not called likely.
	Means []string
	// Do is what to do, one thing each, the likeliest first.
	Do []string
	// Claims are what the identity token says, for a comparison with a trust policy; empty where that is no help.
	Claims []Claim
	// Policy is a trust policy in JSON that would admit this build and not much more, and PolicyAdmits says what it admits;
	// empty where there is none.
	Policy, PolicyAdmits string
}

// Claim is a claim of an identity token as a trust policy sees it.
type Claim struct {
	// Key is the condition key, ISSUER:NAME.
	Key string
	// Value is the claim's value; lists are joined with commas.
	Value string
}

// Explainer is an error that can say more than its line.
type Explainer interface {
	error
	// Explain returns what the error means; false if it has nothing to add to its line.
	Explain() (Explanation, bool)
}
