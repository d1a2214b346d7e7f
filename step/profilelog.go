package step

import (
	"context"
	"fmt"
	"io"
)

// plainLog writes a log without colours, for a stream that SDKs show as it is.
type plainLog struct{ w io.Writer }

func (l plainLog) line(format string, args ...any) {
	_, _ = fmt.Fprintf(l.w, format+"\n", args...)
}

// Infof writes a line, as do the others but for the debug log.
func (l plainLog) Infof(format string, args ...any) { l.line(format, args...) }

// Printf writes a line.
func (l plainLog) Printf(format string, args ...any) { l.line(format, args...) }

// Donef writes a line.
func (l plainLog) Donef(format string, args ...any) { l.line(format, args...) }

// Warnf writes a line.
func (l plainLog) Warnf(format string, args ...any) { l.line(format, args...) }

// Errorf writes a line.
func (l plainLog) Errorf(format string, args ...any) { l.line(format, args...) }

// Debugf writes nothing.
func (plainLog) Debugf(string, ...any) {}

// Println writes an empty line.
func (l plainLog) Println() { l.line("") }

// EnableDebugLog does nothing.
func (plainLog) EnableDebugLog(bool) {}

// quietLog is silent while all goes well: a renewal is no news to whoever has asked for credentials.
type quietLog struct{ plainLog }

// Infof writes nothing.
func (quietLog) Infof(string, ...any) {}

// Printf writes nothing.
func (quietLog) Printf(string, ...any) {}

// Donef writes nothing.
func (quietLog) Donef(string, ...any) {}

// Println writes nothing.
func (quietLog) Println() {}

// noAnnotations leaves the build's page alone: the Step that fails for want of credentials is another one.
type noAnnotations struct{}

// Annotate does nothing.
func (noAnnotations) Annotate(context.Context, string) error { return nil }
