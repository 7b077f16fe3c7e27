// Distribution serves the version of distribution that this module requires, on
// a free port of 127.0.0.1, and prints its URL. It keeps content in memory and
// requires no authentication.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
)

const settings = `
version: 0.1
log: {level: error}
storage: {inmemory: {}, delete: {enabled: true}, maintenance: {uploadpurging: {enabled: false}}}
`

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "distribution:", err)
		os.Exit(1)
	}
}

func serve() error {
	config, err := configuration.Parse(strings.NewReader(settings))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	return http.Serve(listener, handlers.NewApp(context.Background(), config))
}
