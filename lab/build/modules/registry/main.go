// Command registry is the image registry with what the lab's configurations use: a folder and a file of passwords. The
// other storage drivers bring the libraries of three clouds, which take longer to compile than the registry itself.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
