package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type tray struct {
	loaves []int
}

func (t *tray) loaf(at int) int {
	return t.loaves[at]
}

func bake(oven *tray, at int) int {
	return oven.loaf(at)
}

func serve(port string) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "warm") })
	http.HandleFunc("/boom", func(w http.ResponseWriter, r *http.Request) { bake(&tray{}, 3) })
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(fmt.Errorf("the bakery stays closed: %w", err))
	}
	log.Printf("bakery listening on http://127.0.0.1:%s", port)
	log.Fatal(http.Serve(listener, nil))
}

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "panic":
		var ready sync.WaitGroup
		for name := 0; name < 2; name++ {
			ready.Add(1)
			go func() {
				ready.Done()
				time.Sleep(time.Hour)
			}()
		}
		ready.Wait()
		time.Sleep(50 * time.Millisecond)
		bake(&tray{loaves: []int{1, 2, 3}}, 5)
	case "nil":
		var oven *tray
		defer func() {
			if problem := recover(); problem != nil {
				panic(fmt.Sprintf("the oven is cold: %v", problem))
			}
		}()
		fmt.Println(oven.loaf(0))
	case "error":
		panic(errors.New("the flour is wet\nand the yeast is dead"))
	}
}
