// A program by itself: the runtime sees no deadlock where the network could still wake somebody.
package main

import "sync"

func main() {
	var door sync.Mutex
	door.Lock()
	go func() {
		door.Lock()
	}()
	door.Lock()
}
