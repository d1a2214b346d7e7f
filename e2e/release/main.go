// Release reads a configuration of GoReleaser with GoReleaser's own parser, which knows no field but its own. It is a module
// of its own, because GoReleaser's dependencies are nobody else's concern; GoReleaser itself, whose "check" looks a little
// further, takes minutes to build and 120 MB.
package main

import (
	"fmt"
	"os"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: release FILE")
		os.Exit(2)
	}
	if _, err := config.Load(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
