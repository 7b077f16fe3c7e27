// Program regclient performs an action, such as pull, with regclient.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/types"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/ref"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, action, image string, args []string) error {
	name, _, _ := strings.Cut(image, "/")
	host := config.HostNewName(name)
	host.TLS = config.TLSDisabled
	host.User, host.Pass = os.Getenv("REGISTRY_USERNAME"), os.Getenv("REGISTRY_PASSWORD")
	client := regclient.New(
		regclient.WithConfigHosts([]config.Host{*host}),
		regclient.WithRetryDelay(10*time.Millisecond, 100*time.Millisecond),
	)
	r, err := ref.New(image)
	if err != nil {
		return err
	}
	switch action {
	case "referrers": // whose number must be that in args
		list, err := client.ReferrerList(ctx, r)
		if err == nil && strconv.Itoa(len(list.Descriptors)) != args[0] {
			err = fmt.Errorf("%d referrers, want %s", len(list.Descriptors), args[0])
		}
		return err
	case "tags":
		list, err := client.TagList(ctx, r)
		if err != nil {
			return err
		}
		tags, err := list.GetTags()
		fmt.Println(tags)
		return err
	case "pull": // the first layer
		m, err := client.ManifestGet(ctx, r)
		if err != nil {
			return err
		}
		layers, err := m.(manifest.Imager).GetLayers()
		if err != nil {
			return err
		}
		// An old version never gives up.
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		content, err := client.BlobGet(ctx, r, layers[0])
		if err != nil {
			return err
		}
		defer content.Close()
		_, err = io.Copy(io.Discard, content)
		return err
	case "push-blob": // of the size in args, which BlobPut does not learn
		size, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return err
		}
		_, err = client.BlobPut(ctx, r, types.Descriptor{}, io.LimitReader(zeros{}, size))
		return err
	}
	return fmt.Errorf("no action is called %q", action)
}

// zeros is an endless sequence of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
