// A minimal Centrifuge server: everybody is subscribed to one channel and may publish to it.
//
//	centrifuge PORT
package main

import (
	"context"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

const channel = "all"

func main() {
	node, err := centrifuge.New(centrifuge.DefaultConfig)
	if err != nil {
		panic(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: "anybody"},
			Subscriptions: map[string]centrifuge.SubscribeOptions{channel: {}},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnPublish(func(_ centrifuge.PublishEvent, answer centrifuge.PublishCallback) {
			answer(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		panic(err)
	}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
