package profile

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// Variables for the processes that these tests start: the folder to write to, and the maximum size of a file.
const (
	killedFolder = "PROFILE_TEST_FOLDER"
	killedLimit  = "PROFILE_TEST_LIMIT"
)

// TestMain lets the test program act as the process that is killed.
func TestMain(m *testing.M) {
	if folder := os.Getenv(killedFolder); folder != "" {
		if limit, err := strconv.ParseUint(os.Getenv(killedLimit), 10, 64); err == nil {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
				panic(err)
			}
		}
		for {
			if err := loginAndOut(folder, func(step string) { fmt.Println(step) }); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// The files are large, so that a kill can hit the middle of a write. Each is larger than the one before it.
func bigSettings() secret.Text { return secret.New(strings.Repeat("x", 1<<15)) }

func bigID() string { return strings.Repeat("A", 1<<16) }

func bigProgram() string { return "#!/bin/sh\nexit\n# " + strings.Repeat("program ", 1<<14) }

func bigConfig() string { return "# " + strings.Repeat("x", 1<<18) + "\n" }

func keptFolder(folder string) Folder { return Folder{root: filepath.Join(folder, "kept")} }

// loginAndOut logs in and out, and says what it has done.
func loginAndOut(folder string, done func(step string)) error {
	ctx := context.Background()
	file := ConfigFile{Path: filepath.Join(folder, "config"), Credentials: filepath.Join(folder, "credentials")}
	kept := keptFolder(folder)
	s, command, changes, err := kept.Stage(ctx, filepath.Join(folder, "program"), bigSettings(), testCredentials(bigID(), time.Hour), noon())
	defer func() { discard(changes) }()
	if err != nil {
		return err
	}
	done("staged")
	inFiles, err := file.PrepareProfile(Profile{Name: Name{text: "bitrise"}, Command: command})
	if err != nil {
		return err
	}
	done("prepared")
	if err := sharedfile.Commit(ctx, append(changes, inFiles...)...); err != nil {
		return err
	}
	done("committed")
	if _, err := kept.RemoveSecrets(ctx, s, time.Time{}); err != nil {
		return err
	}
	done("secrets removed")
	inFiles, _, err = file.PrepareRemoval([]Session{s})
	if err == nil {
		err = sharedfile.Commit(ctx, inFiles...)
	}
	if err != nil {
		return err
	}
	done("profile removed")
	if err := kept.Remove(ctx, s); err != nil {
		return err
	}
	kept.RemoveIfEmpty("builds")
	done("removed")
	return nil
}

// prepareKill creates the initial files for a process that will be killed.
func prepareKill(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	write(t, filepath.Join(folder, "program"), bigProgram())
	write(t, filepath.Join(folder, "config"), bigConfig())
	return folder
}

func killable(t *testing.T, folder string, environ ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(append(os.Environ(), killedFolder+"="+folder), environ...)
	return command
}

// mustBeUntouched checks that nothing of a login is left.
func mustBeUntouched(t *testing.T, folder string) {
	t.Helper()
	if got := tree(t, folder); !slices.Equal(got, []string{"config", "program"}) || read(t, filepath.Join(folder, "config")) != bigConfig() {
		t.Errorf("left behind: %q", got)
	}
}

// If the file system is full at any point, nothing is changed. A limit on the size of files simulates this.
func TestWritesThatEndEarly(t *testing.T) {
	settings, cache := len(bigSettings().Reveal()), len(entry{Credentials: testCredentials(bigID(), time.Hour), Obtained: noon()}.encode())
	for name, limit := range map[string]int{
		"first byte of the settings": 0, "last byte of the settings": settings - 1, "the cache": settings, "last byte of the cache": cache - 1,
		"the program": cache, "last byte of the program": len(bigProgram()) - 1,
		"the configuration": len(bigProgram()), "its last bytes": len(bigConfig()) + 50,
	} {
		t.Run(name, func(t *testing.T) {
			folder := prepareKill(t)
			output, err := killable(t, folder, fmt.Sprint(killedLimit, "=", limit)).CombinedOutput()
			if err == nil || strings.Contains(string(output), "committed\n") {
				t.Fatalf("the limit was not reached: %s", output)
			}
			mustBeUntouched(t, folder)
		})
	}
}

// Whenever the process is killed, each file is complete or does not exist, and the next process is not blocked by a lock. After all
// that, one login and logout leave nothing behind, not even temporary files.
func TestKilledAtAnyPoint(t *testing.T) {
	folder := prepareKill(t)
	seen := map[int]int{}
	for range 25 {
		command := killable(t, folder)
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		const steps = 6 // of a login and a logout
		lines := bufio.NewScanner(output)
		for range 1 + rand.IntN(2*steps) {
			if !lines.Scan() || strings.Contains(lines.Text(), ":") {
				t.Fatalf("the process exited before it was killed: %s", lines.Text())
			}
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		seen[checkWhole(t, folder)]++
	}
	t.Logf("kills left these numbers of whole files: %v", seen)
	if err := loginAndOut(folder, func(string) {}); err != nil {
		t.Error(err)
	}
	mustBeUntouched(t, folder)
}

// checkWhole checks that each file is complete or does not exist, and returns the number of files.
func checkWhole(t *testing.T, folder string) (count int) {
	t.Helper()
	content := strings.TrimPrefix(read(t, filepath.Join(folder, "config")), bigConfig())
	if content != "" && (!strings.HasPrefix(content, "\n[profile bitrise]\n") || parseCommand(strings.TrimSuffix(content, "\n")) == "") {
		t.Fatalf("the configuration file is incomplete: %q", content)
	}
	kept := keptFolder(folder)
	for _, path := range tree(t, kept.root) {
		var isWhole bool
		switch filepath.Base(path) {
		case ProgramName:
			isWhole = read(t, kept.Path(path)) == bigProgram()
		case settingsName:
			isWhole = read(t, kept.Path(path)) == bigSettings().Reveal()
		case cacheName:
			isWhole = !kept.readCache(Session(filepath.Dir(path))).AccessKeyID.IsEmpty()
		default:
			continue
		}
		count++
		if !isWhole {
			t.Fatalf("%s is incomplete", path)
		}
	}
	return count
}

// A renewal that is killed while a logout waits for it leaves a temporary file with credentials.
func TestRenewalThatIsKilledDuringALogout(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	if _, err := m.folder.RemoveSecrets(t.Context(), s, time.Time{}); err != nil {
		t.Fatal(err)
	}
	write(t, m.folder.file(s, ".cache.json.authenticate-with-aws-killed"), "of a killed renewal")
	if err := m.folder.Remove(t.Context(), s); err != nil {
		t.Error(err)
	}
	m.folder.RemoveIfEmpty("builds")
	m.mustBeGone()
}

// A login that is killed before its record is in place leaves a session that no record lists. It doesn't keep the program.
func TestLoginThatIsKilledEarly(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	write(t, m.folder.Path(filepath.Dir(string(s)), testKey, ".settings.json.authenticate-with-aws-killed"), "of a killed login")
	m.folder.Sweep()
	m.logout(s)
	m.mustBeGone()
}
