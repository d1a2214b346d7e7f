package profile

import (
	"syscall"
	"testing"
	"time"
)

// A session that is mounted read-only, such as in a container, works: from the cache, and renewed, but then each time.
func TestReadOnlySession(t *testing.T) {
	folder, s := testSession(t, testCredentials("old", time.Hour))
	path := folder.Path(string(s))
	if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, 0) })
	if err := syscall.Mount("", path, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot mount read-only: %v", err)
	}
	before := read(t, folder.file(s, cacheName))
	if c, _, err := folder.Get(t.Context(), s, at(0), never(t)); err != nil || c.AccessKeyID.Reveal() != "old" {
		t.Errorf("from the cache: got %s, %v", c.AccessKeyID.Reveal(), err)
	}
	for range 2 {
		if c, _, err := folder.Get(t.Context(), s, at(time.Hour), renewed(2*time.Hour)); err != nil || c.AccessKeyID.Reveal() != "new" {
			t.Errorf("renewed: got %s, %v", c.AccessKeyID.Reveal(), err)
		}
	}
	renew, calls := failing()
	if c, _, err := folder.Get(t.Context(), s, at(59*time.Minute), renew); err != nil || c.AccessKeyID.Reveal() != "old" || *calls != 1 {
		t.Errorf("after a failed renewal: got %s, %v", c.AccessKeyID.Reveal(), err)
	}
	if got := read(t, folder.file(s, cacheName)); got != before {
		t.Errorf("got %s", got)
	}
}
