use std::collections::HashMap;
use std::net::TcpListener;
use std::thread;

mod lamp;

fn main() {
    let task = std::env::args().nth(1).unwrap_or_default();
    match task.as_str() {
        "serve" => serve(),
        "panic" => lamp::turn(&HashMap::from([("north", 2)]), "south"),
        "thread" => {
            let _ = thread::Builder::new().name("foghorn".into()).spawn(|| lamp::blow(&[1, 2, 3], 7)).unwrap().join();
            eprintln!("the foghorn is silent, the lamp still burns");
        }
        _ => println!("lamp lit, 0 errors"),
    }
}

fn serve() {
    let port = std::env::var("PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the harbour answers");
    println!("listening on {}", listener.local_addr().unwrap());
    thread::park();
}
