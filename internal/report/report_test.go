package report_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func everyLevel(log *report.Log) {
	log.Infof("info %s", "x")
	log.Printf("print")
	log.Donef("done")
	log.Warnf("warn")
	log.Errorf("error")
	log.Debugf("debug")
}

func TestLevels(t *testing.T) {
	for name, row := range map[string]struct {
		log  func(w *bytes.Buffer) *report.Log
		want string
	}{
		"colors": {func(w *bytes.Buffer) *report.Log { return report.NewLog(w) },
			"\x1b[34;1minfo x\x1b[0m\nprint\n\x1b[32;1mdone\x1b[0m\n\x1b[33;1mwarn\x1b[0m\n\x1b[31;1merror\x1b[0m\n"},
		"plain": {func(w *bytes.Buffer) *report.Log { return report.NewPlainLog(w) }, "info x\nprint\ndone\nwarn\nerror\n"},
		"quiet": {func(w *bytes.Buffer) *report.Log { return report.NewPlainLog(w).Quiet() }, ""},
		"verbose": {func(w *bytes.Buffer) *report.Log {
			log := report.NewPlainLog(w)
			log.EnableDebug()
			return log
		}, "info x\nprint\ndone\nwarn\nerror\ndebug\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var written bytes.Buffer
			everyLevel(row.log(&written))
			if written.String() != row.want {
				t.Errorf("got %q, want %q", &written, row.want)
			}
		})
	}
}

func TestLinesAreClean(t *testing.T) {
	const canary = "canary-0123456789"
	long := strings.Repeat("x", 3995)
	for name, row := range map[string]struct{ given, want string }{
		"a secret":                {"the token " + canary + " leaks", "the token [REDACTED] leaks\n"},
		"a secret, then cut":      {long + canary, long + "[REDA… (truncated)\n"},
		"control characters":      {"a\rb\x07", "a b \n"},
		"tabs and lines are kept": {"a\tb\nc", "a\tb\nc\n"},
		"longest line":            {strings.Repeat("ü", 4000), strings.Repeat("ü", 4000) + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var written bytes.Buffer
			log := report.NewPlainLog(&written)
			log.Protect(secret.New(canary))
			log.Warnf("%s", row.given)
			if written.String() != row.want {
				t.Errorf("got %.80q, want %.80q", &written, row.want)
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLogWithoutAReader(*testing.T) { everyLevel(report.NewLog(brokenPipe{})) }

func explanation() explain.Explanation {
	return explain.Explanation{
		Section: "role-does-not-trust-the-build", Cause: "role deploy does not trust this build",
		SaidBy: "AWS", Said: "STS returned AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity on canary-0123456789\nsecond line",
		Means:         []string{"One of four things: " + strings.Repeat("word ", 20) + "canary-0123456789."},
		Do:            []string{"Check the role's name, exactly as it is written in the console, including upper and lower case.", "Check <b>it_again*."},
		ConditionKeys: []string{"* issuer:aud       sts.amazonaws.com", "  issuer:app_slug  0123|456", "* AWS documents this key."},
		Policy:        "{\n  \"Version\": \"2012-10-17\"\n}", PolicyLetsIn: "builds of this app only",
	}
}

// page is the URL of the troubleshooting page.
const page = "https://github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/blob/main/docs/troubleshooting.md"

func TestExplain(t *testing.T) {
	var written bytes.Buffer
	log := report.NewPlainLog(&written)
	log.Protect(secret.New("canary-0123456789"))
	log.Explain(explanation())
	want := `
role deploy does not trust this build

AWS said
STS returned AccessDenied: Not authorized to perform
sts:AssumeRoleWithWebIdentity on [REDACTED]
second line

What this means
One of four things: word word word word word word word word word word word word
word word word word word word word word [REDACTED].

What to do
- Check the role's name, exactly as it is written in the console, including
  upper and lower case.
- Check <b>it_again*.

The identity token's claims, as condition keys of a trust policy
* issuer:aud       sts.amazonaws.com
  issuer:app_slug  0123|456
* AWS documents this key.

A trust policy that lets in builds of this app only
{
  "Version": "2012-10-17"
}

More about this error
https://github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/blob/main/docs/troubleshooting.md#role-does-not-trust-the-build

role deploy does not trust this build
`
	if written.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &written, want)
	}
}

func TestExplainWithoutDetails(t *testing.T) {
	var written bytes.Buffer
	report.NewPlainLog(&written).Explain(explain.Explanation{Cause: "the disk is full"})
	if written.String() != "\nthe disk is full\n\nMore about this error\n"+page+"#other-errors\n\nthe disk is full\n" {
		t.Errorf("got %q", &written)
	}
	written.Reset()
	report.NewPlainLog(&written).Explain(explain.Explanation{Cause: "x", SaidBy: "Bitrise", Said: "AWS and the token endpoint"})
	if !strings.HasPrefix(written.String(), "\nx\n\nBitrise said\n") {
		t.Errorf("got %q", &written)
	}
}

// A word is never broken, even if it is longer than a line.
func TestWrap(t *testing.T) {
	var written bytes.Buffer
	arn := "arn:aws:iam::123456789012:role/" + strings.Repeat("n", 64)
	exactly80 := strings.Repeat("a", 78)
	report.NewPlainLog(&written).Explain(explain.Explanation{
		Cause: "x", Do: []string{"role_arn: " + arn, exactly80, exactly80 + " b", exactly80[2:] + " b"},
	})
	want := "\nx\n\nWhat to do\n- role_arn:\n  " + arn + "\n- " + exactly80 + "\n- " + exactly80 + "\n  b\n- " + exactly80[2:] +
		" b\n\nMore about this error\n" + page + "#other-errors\n\nx\n"
	if written.String() != want {
		t.Errorf("got %q, want %q", &written, want)
	}
}

func TestLongResponsesAreTruncated(t *testing.T) {
	var written bytes.Buffer
	report.NewPlainLog(&written).Explain(explain.Explanation{Cause: strings.Repeat("c", 4001), SaidBy: "AWS", Said: strings.Repeat("s", 4001)})
	cause := "\n" + strings.Repeat("c", 4000) + "… (truncated)\n"
	want := cause + "\nAWS said\n" + strings.Repeat("s", 4000) + "… (truncated)\n\nMore about this error\n" + page + "#other-errors\n" + cause
	if written.String() != want {
		t.Errorf("got %q", &written)
	}
}

// fakeBitrise puts a program called bitrise in PATH that stores its arguments and input, and creates a home folder with the plug-in.
func fakeBitrise(t *testing.T, script string) (home, stored string) {
	t.Helper()
	home, bin := t.TempDir(), t.TempDir()
	stored = filepath.Join(t.TempDir(), "stored")
	if err := os.MkdirAll(filepath.Join(home, ".bitrise", "plugins", "annotations"), 0o700); err != nil {
		t.Fatal(err)
	}
	script = "#!/bin/sh\n" + strings.ReplaceAll(script, "STORED", stored) + "\n"
	if err := os.WriteFile(filepath.Join(bin, "bitrise"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return home, stored
}

func TestAnnotate(t *testing.T) {
	home, stored := fakeBitrise(t, `{ echo "$*"; cat; } > STORED`)
	var written bytes.Buffer
	log := report.NewPlainLog(&written)
	log.EnableDebug()
	log.Protect(secret.New("canary-0123456789"))
	log.Annotate(t.Context(), home, explanation())
	got, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	want := ":annotations annotate --style error --context authenticate-with-aws\n" +
		"**Authenticate with AWS: role deploy does not trust this build**\n\n" +
		"**AWS said**\n\nSTS returned AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity on \\[REDACTED]\n\n" +
		"second line\n\n\n" +
		"**What this means**\n\nOne of four things: " + strings.Repeat("word ", 20) + "\\[REDACTED].\n\n\n" +
		"**What to do**\n\n- Check the role's name, exactly as it is written in the console, including upper and lower case.\n\n" +
		"- Check &lt;b>it\\_again\\*.\n\n\n" +
		"**The identity token's claims, as condition keys of a trust policy**\n\n" +
		"    * issuer:aud       sts.amazonaws.com\n      issuer:app_slug  0123|456\n" +
		"    * AWS documents this key.\n\n" +
		"**A trust policy that lets in builds of this app only**\n\n    {\n      \"Version\": \"2012-10-17\"\n    }\n" +
		"\n**More about this error**\n\n" + page + "#role-does-not-trust-the-build\n\n"
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if written.Len() > 0 {
		t.Errorf("got log %q", &written)
	}
}

func TestAnnotateWithoutDetails(t *testing.T) {
	home, stored := fakeBitrise(t, "cat > STORED")
	report.NewPlainLog(io.Discard).Annotate(t.Context(), home, explain.Explanation{Cause: "the disk is full"})
	got, err := os.ReadFile(stored)
	if err != nil || string(got) != "**Authenticate with AWS: the disk is full**\n\n**More about this error**\n\n"+page+"#other-errors\n\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAnnotationsAreBestEffort(t *testing.T) {
	home, stored := fakeBitrise(t, "touch STORED; echo broken; exit 1")
	for name, row := range map[string]struct {
		home   string
		called bool
	}{"a plug-in that fails": {home, true}, "no plug-in": {t.TempDir(), false}, "no home": {"", false}} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(stored)
			var written bytes.Buffer
			log := report.NewPlainLog(&written)
			log.Annotate(t.Context(), row.home, explanation())
			log.EnableDebug()
			log.Annotate(t.Context(), row.home, explanation())
			if _, err := os.Stat(stored); (err == nil) != row.called {
				t.Errorf("the plug-in was called: got %v, want the opposite", err)
			}
			if got := strings.Count(written.String(), "Could not annotate the build page: bitrise :annotations: exit status 1"); (got == 1) != row.called || got > 1 {
				t.Errorf("got log %q", &written)
			}
		})
	}
	t.Setenv("PATH", t.TempDir())
	report.NewPlainLog(&bytes.Buffer{}).Annotate(t.Context(), home, explanation())
}

// A secret with characters that Markdown escapes is redacted in every text of an explanation, in the log and on the build page.
func TestExplanationsShowNoSecret(t *testing.T) {
	const canary = "canary_1*2[3|4`5<6\\7"

	leaky := "is " + canary + "."
	x := explain.Explanation{
		Cause: leaky, SaidBy: leaky, Said: leaky + "\n" + leaky, Means: []string{leaky}, Do: []string{leaky},
		ConditionKeys: []string{leaky, leaky},
		Policy:        leaky, PolicyLetsIn: leaky,
	}
	home, stored := fakeBitrise(t, "cat > STORED")
	var written bytes.Buffer
	log := report.NewPlainLog(&written)
	log.Protect(secret.New(canary))
	log.Explain(x)
	log.Annotate(t.Context(), home, x)
	annotation, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"log": written.String(), "page": string(annotation)} {
		if n := strings.Count(text, "REDACTED"); n != map[string]int{"log": 11, "page": 10}[where] || strings.Contains(text, "canary") {
			t.Errorf("the %s must have 10 redacted secrets, the log the cause twice, has %d:\n%s", where, n, text)
		}
	}
}
