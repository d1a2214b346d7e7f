package step

import "testing"

// A process that doesn't know its build, or knows only a part, is not taken for a process of a different build without reason.
func TestBuildsThatDiffer(t *testing.T) {
	own := build{Slug: "slug", URL: "https://app.bitrise.io/build/slug"}
	for name, test := range map[string]struct {
		other build
		want  bool
	}{
		"the same":                 {other: own},
		"a different slug":         {other: build{Slug: "other", URL: own.URL}, want: true},
		"a different URL":          {other: build{URL: "https://app.bitrise.io/build/other"}, want: true},
		"the same slug, no URL":    {other: build{Slug: own.Slug}},
		"the same URL, no slug":    {other: build{URL: own.URL}},
		"neither a slug nor a URL": {},
	} {
		t.Run(name, func(t *testing.T) {
			if got := own.isOther(test.other); got != test.want {
				t.Errorf("got %t", got)
			}
			if got := test.other.isOther(own); got != test.want {
				t.Errorf("the other way around: got %t", got)
			}
		})
	}
}
