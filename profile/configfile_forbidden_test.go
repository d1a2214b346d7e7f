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
	const correct = "Correct the file, or set AWS_CONFIG_FILE to another one for this workflow."
	const rename = "Choose another name in aws_profile, or remove that profile from the file."
	const exists = `, line 1: the profile "bitrise" exists, and this Step did not write it`
	begin, end := beginMark+"\n", endMark+"\n"
	return map[string]struct{ profile, content, want, advice string }{
		"foreign":            {"bitrise", "[profile bitrise]\n", exists, rename},
		"foreign, CRLF":      {"bitrise", "[profile bitrise]\r\n", exists, rename},
		"foreign, quoted":    {"bitrise", "[profile \"bitrise\"]\n", exists, rename},
		"foreign, indented":  {"bitrise", "[a]\n\t[ profile\tbitrise ]\n", strings.Replace(exists, "1", "2", 1), rename},
		"foreign, continued": {"bitrise", "[a]\nb = c\n\t[profile bitrise]\n", strings.Replace(exists, "1", "3", 1), rename},
		"foreign, commented": {"bitrise", "[profile bitrise] # of [mine]\n", exists, rename},
		"foreign, semicolon": {"bitrise", "[profile bitrise];x\n", exists, rename},
		"default":            {"default", "[default]\n", `the profile "default" exists`, rename},
		"profile default":    {"default", "[profile default]\n", `the profile "default" exists`, rename},
		"also foreign":       {"bitrise", section + "[profile  bitrise]\n", strings.Replace(exists, "1", "6", 1), rename},
		"foreign above":      {"bitrise", "[profile  bitrise]\n" + section, exists, rename},
		"no end":             {"bitrise", begin + "[profile bitrise]\n", strings.Replace(exists, "1", "2", 1), rename},
		"no begin":           {"bitrise", "[profile bitrise]\n" + end, exists, rename},
		"no begin, lower":    {"bitrise", "# mine\n[profile bitrise]\n" + end, strings.Replace(exists, "1", "2", 1), rename},
		"two ends":           {"bitrise", section + "[profile  bitrise]\n" + end, strings.Replace(exists, "1", "6", 1), rename},
		"twice": {"bitrise", section + strings.Replace(section, "[profile ", "[profile  ", 1),
			`, line 7: the profile "bitrise" appears twice`, correct},
		"repeated": {"bitrise", section + section, ", line 7: repeats the section of line 2" + cannotRead, correct},
		"another section": {"bitrise", strings.Replace(section, "region", "[profile other]\nregion", 1),
			", line 3: another section is among the lines of this Step", correct},
		"another section first": {"bitrise", strings.Replace(section, "[profile", "[profile other]\n[profile", 1),
			", line 2: another section is among", correct},
		"a setting below": {"bitrise", section + "# mine\n\noutput = json\n[a]\n",
			", line 8: a setting below the lines of this Step belongs to their section", correct},
		"unreadable": {"bitrise", "[default]\n[profile unclosed\n", ", line 2: a section must be [NAME]" + cannotRead, correct},
	}
}

func TestForbiddenFiles(t *testing.T) {
	for name, test := range forbiddenFiles() {
		t.Run(name, func(t *testing.T) {
			file, p := testFile(t, test.content), testProfile(t, test.profile)
			check := func(doing string, err error) {
				t.Helper()
				prefix := doing + ` the profile "` + test.profile + `" (input aws_profile): ` + file.path
				if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s%s", err, prefix, test.want)
				}
				checkAdvice(t, err, test.advice)
				if got := strings.Contains(test.want, "exists"); got != errors.Is(err, ErrForeign) {
					t.Errorf("ErrForeign: want %v, got the opposite", got)
				}
			}
			check("write", file.Check(p.Name))
			_, err := file.PrepareProfile(p)
			check("write", err)
			_, _, err = file.PrepareRemoval(p.Name)
			check("remove", err)
			if got := read(t, file.path); got != test.content {
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
			if err := file.Check(name); err == nil || !strings.HasSuffix(err.Error(), file.path+", "+want+cannotRead) {
				t.Errorf("the configuration file: got %v", err)
			}
			file = testFile(t, "")
			write(t, file.credentials, content)
			if err := file.Check(name); err == nil || !strings.HasSuffix(err.Error(), file.credentials+", "+want+cannotRead) {
				t.Errorf("the credentials file: got %v", err)
			}
			if _, err := file.PrepareProfile(testProfile(t, "bitrise")); err == nil {
				t.Error("got no error from PrepareProfile")
			}
		})
	}
}

// Keys with the same name in the credentials file would take precedence over the profile.
func TestCredentialsFileWithTheName(t *testing.T) {
	for content, isRefused := range map[string]bool{
		"[bitrise]\naws_access_key_id=x\n": true, "[ bitrise ] # x\n": true, "[\"bitrise\"]\n": true,
		"[other]\naws_access_key_id=x\n": false, "[profile bitrise]\n": false, "# [bitrise]\n": false,
	} {
		t.Run(content, func(t *testing.T) {
			file := testFile(t, "")
			write(t, file.credentials, content)
			err := file.Check(testProfile(t, "bitrise").Name)
			if !isRefused {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := file.credentials + `, line 1: there are keys for the profile "bitrise", ` +
				"which AWS's tools would use instead of credentials that renew"
			if err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			checkAdvice(t, err, "If the profile has keys in it, remove them, or choose another name in aws_profile.")
		})
	}
	file := testFile(t, "")
	file.credentials = os.DevNull
	file.add(t, testProfile(t, "bitrise"))
}

func TestFileThatIsNotRegular(t *testing.T) {
	for name, create := range map[string]func(string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			config, keys := testFile(t, ""), testFile(t, "")
			if err := errors.Join(create(config.path), create(keys.credentials)); err != nil {
				t.Fatal(err)
			}
			p := testProfile(t, "bitrise")
			_, err := config.PrepareProfile(p)
			_, _, errRemoval := config.PrepareRemoval(p.Name)
			for _, err := range []error{err, config.Check(p.Name), errRemoval} {
				if err == nil || !strings.Contains(err.Error(), config.path+" is not a regular file") {
					t.Errorf("got %v", err)
				}
			}
			if err := keys.Check(p.Name); err == nil || !strings.Contains(err.Error(), keys.credentials+" is not a regular file") {
				t.Errorf("got %v", err)
			}
		})
	}
}
