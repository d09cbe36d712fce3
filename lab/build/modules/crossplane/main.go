// Program crossplane checks an nginx.conf against F5's own tables of directives: which exist in a release, in which
// contexts, with how many arguments. It prints one line for each fault and ends with 1 if there was one.
//
// Usage: crossplane <oss|plus> <nginx.conf>
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	crossplane "github.com/nginxinc/nginx-go-crossplane"
)

// There is no table of 1.27.4: `resolver` in `upstream` is of 1.27.3, and 1.26's has none.
var releases = map[string]crossplane.MatchFunc{
	"oss":  crossplane.MatchOssLatest,
	"plus": crossplane.MatchNginxPlusR34,
}

func main() {
	if len(os.Args) != 3 || releases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: crossplane <oss|plus> <nginx.conf>")
		os.Exit(2)
	}
	payload, err := crossplane.Parse(os.Args[2], &crossplane.ParseOptions{
		ErrorOnUnknownDirectives: true,
		DirectiveSources:         []crossplane.MatchFunc{releases[os.Args[1]], crossplane.MatchOtelLatest},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	faults := 0
	for _, found := range payload.Errors {
		if isHeaderOfExporter(found.Error) {
			continue
		}
		fmt.Println(found.Error)
		faults++
	}
	if faults > 0 {
		os.Exit(1)
	}
}

// The table of directives gives `header` in `otel_exporter` two arguments, as the module does; the parser's own check
// of that block's body gives everything one.
func isHeaderOfExporter(fault error) bool {
	var parse *crossplane.ParseError
	return errors.As(fault, &parse) && parse.BlockCtx == "otel_exporter" && strings.HasPrefix(parse.Statement, "header ")
}
