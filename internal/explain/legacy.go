package explain

// Explainer is an error that explains itself.
//
// Deprecated: use [Error].
type Explainer interface {
	error
	Explain() (Explanation, bool)
}
