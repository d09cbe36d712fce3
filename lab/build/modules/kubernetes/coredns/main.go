// Command coredns is CoreDNS with the plugins of the lab's Corefile (lab/cluster/manifests/coredns.yaml). The others
// bring the libraries of three clouds, which take longer to compile than CoreDNS itself.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	coremain.Run()
}
