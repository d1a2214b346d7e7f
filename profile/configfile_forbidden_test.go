package profile

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// forbiddenFiles returns configuration files in which the Step must not write or remove a profile, with the reason.
func forbiddenFiles() map[string]struct{ profile, content, want, advice string } {
	const correct = "Correct the file, or set AWS_CONFIG_FILE to a different one for this workflow."
	const rename = "Choose a different name in aws_profile, or remove that profile from the file."
	const exists = `, line 1: the profile "bitrise" exists, and this Step didn't create it`
	const keys = "aws_access_key_id = x\naws_secret_access_key = y\n"
	return map[string]struct{ profile, content, want, advice string }{
		"foreign":                         {"bitrise", "[profile bitrise]\n", exists, rename},
		"foreign, CRLF":                   {"bitrise", "[profile bitrise]\r\n", exists, rename},
		"foreign, quoted":                 {"bitrise", "[profile \"bitrise\"]\n", exists, rename},
		"foreign, indented":               {"bitrise", "[a]\n\t[ profile\tbitrise ]\n", strings.Replace(exists, "1", "2", 1), rename},
		"foreign, continued":              {"bitrise", "[a]\nb = c\n\t[profile bitrise]\n", strings.Replace(exists, "1", "3", 1), rename},
		"foreign, commented":              {"bitrise", "[profile bitrise] # of [mine]\n", exists, rename},
		"foreign, semicolon":              {"bitrise", "[profile bitrise];x\n", exists, rename},
		"keys":                            {"bitrise", "[profile bitrise]\n" + keys, exists, rename},
		"a mark is not enough":            {"bitrise", "[profile bitrise]\n" + note + "\n" + keys, exists, rename},
		"another process":                 {"bitrise", "[profile bitrise]\ncredential_process = /p/other credential-process " + testKey + "\n", exists, rename},
		"the Step's process in a comment": {"bitrise", "[profile bitrise]\n# credential_process = " + testCommand + "\n", exists, rename},
		"nested":                          {"bitrise", "[profile bitrise]\ns3 =\n  credential_process = " + testCommand + "\n", exists, rename},
		"an indented section":             {"bitrise", bitriseSection + "  [a]\noutput = json\n", exists, rename},
		"in another setting":              {"bitrise", "[a]\nb = c\n  " + bitriseSection, strings.Replace(exists, "1", "3", 1), rename},
		"default":                         {"default", "[default]\n", `the profile "default" exists`, rename},
		"profile default":                 {"default", "[profile default]\n", `the profile "default" exists`, rename},
		"foreign above":                   {"bitrise", "[profile  bitrise]\n" + bitriseSection, exists, rename},
		"foreign below":                   {"bitrise", bitriseSection + "[profile  bitrise]\n", `, line 5: the profile "bitrise" appears twice`, correct},
		"twice": {"bitrise", bitriseSection + strings.Replace(bitriseSection, "[profile ", "[profile  ", 1),
			`, line 5: the profile "bitrise" appears twice`, correct},
		"keys of others":   {"bitrise", bitriseSection + keys, `, line 1: the profile "bitrise" has the setting aws_access_key_id, which some`, correct},
		"a role of others": {"bitrise", bitriseSection + "role_arn = x\n", `, line 1: the profile "bitrise" has the setting role_arn, which some`, correct},
		"repeated":         {"bitrise", bitriseSection + bitriseSection, ", line 5: repeats the section of line 1" + cannotRead, correct},
		"unreadable":       {"bitrise", "[default]\n[profile unclosed\n", ", line 2: a section must be [NAME]" + cannotRead, correct},
	}
}

func TestForbiddenFiles(t *testing.T) {
	for name, test := range forbiddenFiles() {
		t.Run(name, func(t *testing.T) {
			file, p := testFile(t, test.content), testProfile(t, test.profile)
			_, errCheck := file.Check(p.Name)
			_, errPrepare := file.PrepareProfile(p)
			for _, err := range []error{errCheck, errPrepare} {
				prefix := `write the profile "` + test.profile + `" (input aws_profile): ` + file.Path
				if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s%s", err, prefix, test.want)
				}
				checkAdvice(t, err, test.advice)
				if got := strings.Contains(test.want, "exists"); got != errors.Is(err, ErrForeign) {
					t.Errorf("ErrForeign: want %v, got the opposite", got)
				}
			}
			if got := read(t, file.Path); got != test.content {
				t.Errorf("the file was changed:\n%s", got)
			}
		})
	}
}

// If the AWS CLI cannot read one of the two files, no profile is written.
func TestUnreadableFiles(t *testing.T) {
	name := testProfile(t, "bitrise").Name
	for content, want := range unreadableFiles() {
		t.Run(fmt.Sprintf("%q", content), func(t *testing.T) {
			file := testFile(t, content)
			if _, err := file.Check(name); err == nil || !strings.HasSuffix(err.Error(), file.Path+", "+want+cannotRead) {
				t.Errorf("the configuration file: got %v", err)
			}
			file = testFile(t, "")
			write(t, file.Credentials, content)
			if _, err := file.Check(name); err == nil || !strings.HasSuffix(err.Error(), file.Credentials+", "+want+cannotRead) {
				t.Errorf("the credentials file: got %v", err)
			}
			if _, err := file.PrepareProfile(testProfile(t, "bitrise")); err == nil {
				t.Error("got no error from PrepareProfile")
			}
		})
	}
}

// Keys with the same name in the credentials file would take precedence over the profile. A copy of the profile's command is fine.
func TestCredentialsFileWithTheName(t *testing.T) {
	const keys = `there are keys for the profile "bitrise", which AWS's tools would use instead of credentials that are renewed`
	for content, want := range map[string]string{
		"[bitrise]\naws_access_key_id=x\n": keys, "[ bitrise ] # x\n": keys, "[\"bitrise\"]\n": keys,
		"[bitrise]\naws_access_key_id =\naws_secret_access_key =\n": `the profile "bitrise" has an empty aws_access_key_id, and AWS's tools would ` +
			"sign their calls with it",
		"[bitrise]\ncredential_process = " + testCommand + "\naws_access_key_id = x\n": `the profile "bitrise" has the setting aws_access_key_id, ` +
			"which some tools use instead of the Step's credentials",
		"[other]\naws_access_key_id=x\n": "", "[profile bitrise]\n": "", "# [bitrise]\n": "",
		"[bitrise]\ncredential_process = " + testProfile(t, "bitrise").Command.text + "\n": "",
	} {
		t.Run(content, func(t *testing.T) {
			file := testFile(t, "")
			write(t, file.Credentials, content)
			_, err := file.Check(testProfile(t, "bitrise").Name)
			if want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), file.Credentials+", line 1: "+want) {
				t.Errorf("got %v", err)
			}
			checkAdvice(t, err, "If the profile has keys in it, remove its section, or choose a different name in aws_profile. A script "+
				"that runs \"aws configure set aws_access_key_id\" may have added them. It is no longer needed.")
		})
	}
	file := testFile(t, "")
	file.Credentials = os.DevNull
	file.add(t, testProfile(t, "bitrise"))
}

// A copy of the profile's command in the credentials file is updated with the profile, and removed with it.
func TestCopyInTheCredentialsFile(t *testing.T) {
	file, p := testFile(t, ""), testProfile(t, "bitrise")
	file.add(t, p)
	copied := "[mine]\naws_access_key_id = x\n\n[bitrise]\nregion = x\ncredential_process = " + p.Command.text + "\n"
	write(t, file.Credentials, copied)
	newer, session := numbered(t, "bitrise", 7)
	newer.Name = p.Name
	file.add(t, newer)
	section := strings.ReplaceAll(strings.Replace(bitriseSection, "profile ", "", 1), p.Command.text, newer.Command.text)
	if got, want := read(t, file.Credentials), "[mine]\naws_access_key_id = x\n\n"+section; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	changes, removed, err := file.PrepareRemoval([]Session{session})
	if err != nil || len(removed) != 1 || removed[0] != "bitrise" {
		t.Fatalf("got %q, %v", removed, err)
	}
	commit(t, changes...)
	if got := read(t, file.Credentials); got != "[mine]\naws_access_key_id = x\n" {
		t.Errorf("got %q", got)
	}
}

func TestFileThatIsNotRegular(t *testing.T) {
	for name, test := range map[string]struct {
		create func(string) error
		want   string
	}{
		"a pipe":   {func(path string) error { return syscall.Mkfifo(path, 0o600) }, " is not a regular file"},
		"a folder": {func(path string) error { return os.Mkdir(path, 0o700) }, " is a folder and must be a file"},
	} {
		t.Run(name, func(t *testing.T) {
			config, keys := testFile(t, ""), testFile(t, "")
			if err := errors.Join(test.create(config.Path), test.create(keys.Credentials)); err != nil {
				t.Fatal(err)
			}
			p := testProfile(t, "bitrise")
			_, errPrepare := config.PrepareProfile(p)
			_, errCheck := config.Check(p.Name)
			_, _, errRemoval := config.PrepareRemoval(nil)
			for _, err := range []error{errPrepare, errCheck, errRemoval} {
				if err == nil || !strings.Contains(err.Error(), config.Path+test.want) {
					t.Errorf("got %v", err)
				}
			}
			if _, err := keys.Check(p.Name); err == nil || !strings.Contains(err.Error(), keys.Credentials+test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
