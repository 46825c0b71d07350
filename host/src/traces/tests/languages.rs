//! Traces of each language, and what is read of them.

use super::*;

#[test]
fn python_with_caret_lines_and_a_chain() {
    let text = r#"Internal Server Error: /boom
Traceback (most recent call last):
  File "/srv/shop/shop/db.py", line 4, in fetch
    return rows[key]
           ~~~~^^^^^
KeyError: 'cart'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/usr/lib/python3.13/site-packages/django/core/handlers/exception.py", line 55, in inner
    response = get_response(request)
  File "/srv/shop/shop/views.py", line 12, in cart
    fetch("cart")
    ~~~~~^^^^^^^^
shop.errors.CartError: no cart 12
second line of it
[20/Nov/2026 08:29:25] "GET /boom HTTP/1.1" 500 57421"#;
    assert_eq!(
        told(text),
        "shop.errors.CartError: no cart 12\n* shop/views.py | cart:12\n  site-packages/django/core/handlers/exception.py | inner:55\nbecause KeyError: 'cart'\n"
            .replace("site-packages/django/core/handlers/exception.py", "handlers/exception.py")
    );
    assert_eq!(
        reduce(text, PROJECT),
        text.replace(
            "  File \"/usr/lib/python3.13/site-packages/django/core/handlers/exception.py\", line 55, in inner\n    response = get_response(request)\n",
            "  … 1 frame of libraries left out\n"
        )
    );
}

#[test]
fn python_exception_groups() {
    let text = r#"  + Exception Group Traceback (most recent call last):
  |   File "/srv/shop/main.py", line 9, in main
  |     raise ExceptionGroup("many", errors)
  | ExceptionGroup: many (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/shop/main.py", line 3, in one
    |     raise ValueError("one")
    | ValueError: one
    +---------------- 2 ----------------
    | TypeError: two
    +------------------------------------"#;
    assert_eq!(
        told(text),
        "ExceptionGroup: many (2 sub-exceptions)\n* main.py | main:9\nbecause TypeError: two\nbecause ValueError: one\n"
    );
}

#[test]
fn python_syntax_errors() {
    let text = "  File \"/srv/shop/a.py\", line 3\n    def f(:\n          ^\nSyntaxError: invalid syntax";
    assert_eq!(told(text), "SyntaxError: invalid syntax\n* a.py | :3\n");
}

#[test]
fn node_with_a_cause() {
    let text = r"/srv/shop/src/cart.js:3
    throw new Error('cart 12')
    ^

Error: cart 12
    at Cart.add (/srv/shop/src/cart.js:3:9)
    at async Promise.all (index 0)
    at async file:///srv/shop/src/main.mjs:7:1
    at process.processTicksAndRejections (node:internal/process/task_queues:105:5) {
  code: 'ECART',
  [cause]: TypeError [ERR_X]: bad row
      at fetch (/srv/shop/src/db.js:8:3)
}

Node.js v22.1.0";
    assert_eq!(
        told(text),
        "Error: cart 12\n* src/cart.js | Cart.add:3\n  native | Promise.all\n* src/main.mjs | :7\n  node:internal/process/task_queues | process.processTicksAndRejections:105\nbecause TypeError [ERR_X]: bad row\n"
    );
}

#[test]
fn vite_with_its_prefix() {
    let text = "4:12:31 PM [vite] Internal server error: Transform failed\n    at failureErrorWithLog (/srv/shop/node_modules/esbuild/lib/main.js:1467:15)\n    at Socket.readFromStdout (/srv/shop/node_modules/esbuild/lib/main.js:600:9)";
    let shape = read(text, PROJECT);
    assert_eq!(shape.message, "Internal server error: Transform failed");
    assert_eq!(shape.in_app().count(), 0);
}

#[test]
fn java_with_causes_and_suppressed_ones() {
    let text = "Exception in thread \"main\" java.lang.IllegalStateException: cart\n\tat com.shop.Cart.lambda$add$3(Cart.java:12)\n\tat java.base/java.util.ArrayList.forEach(ArrayList.java:1511)\n\tat com.shop.Cart$$Lambda$14/0x0000000800c03200.accept(Unknown Source)\n\tat org.springframework.aop.X.invoke(X.java:3)\n\tSuppressed: java.io.IOException: close\n\t\tat com.shop.Db.close(Db.java:9)\nCaused by: java.sql.SQLException: no row\n\tat com.shop.Db.fetch(Db.java:7)\n\t... 3 more\n";
    assert_eq!(
        told(text),
        "java.lang.IllegalStateException: cart\n* com.shop.Cart | lambda$add:12\n  java.util.ArrayList | forEach:1511\n* com.shop | Cart\n  org.springframework.aop.X | invoke:3\nbecause java.sql.SQLException: no row\n"
    );
}

#[test]
fn dotnet_with_an_inner_exception() {
    let text = "Unhandled exception. System.InvalidOperationException: cart\n ---> System.Data.DataException: no row\n   at Shop.Db.Fetch(Int32 id) in /srv/shop/Db.cs:line 7\n   --- End of inner exception stack trace ---\n   at Shop.Cart.<Add>d__3.MoveNext() in /srv/shop/Cart.cs:line 12\n   at System.Runtime.CompilerServices.TaskAwaiter.ThrowForNonSuccess(Task task)\n   at Program.<Main>(String[] args)";
    assert_eq!(
        told(text),
        "System.InvalidOperationException: cart\n* Shop.Cart | Add:12\n  System.Runtime.CompilerServices.TaskAwaiter | ThrowForNonSuccess\n* Program | Main\nbecause System.Data.DataException: no row\n"
    );
}

#[test]
fn ruby_plain_and_rails() {
    let plain = "app.rb:3:in 'Cart#add': boom (RuntimeError)\n\tfrom /var/lib/gems/3.1.0/gems/rack-2.2/lib/rack.rb:4:in `call'\n\tfrom app.rb:9:in `block (2 levels) in <main>'\nlib/db.rb:2:in `fetch': no row (KeyError)\n\tfrom app.rb:2:in `add'";
    assert_eq!(
        told(plain),
        "RuntimeError: boom\n* app.rb | Cart#add:3\n  lib/rack.rb | call:4\n* app.rb | <main>:9\nbecause KeyError: no row\n"
    );
    let rails = "RuntimeError (boom):\n  \napp/controllers/cart_controller.rb:5:in `index'\nactionpack (6.1.7) lib/action_controller/metal/basic.rb:6:in `send_action'";
    assert_eq!(
        told(rails),
        "RuntimeError: boom\n* app/controllers/cart_controller.rb | index:5\n  actionpack (<n>) lib/action_controller/metal/basic.rb | send_action:6\n"
    );
    let lines =
        "Shop::Overdue (the counter\ncannot (today) count):\n  \napp/shop.rb:15:in `rescue in chained'";
    assert_eq!(told(lines), "Shop::Overdue: the counter\n* app/shop.rb | chained:15\n");
    let excerpt = "NoMethodError (undefined method `length' for nil:NilClass\n\n    render plain: shelf(\"poetry\").length\n                                 ^^^^^^^):\n  \napp/shop.rb:9:in `boom'";
    assert_eq!(
        told(excerpt),
        "NoMethodError: undefined method `length' for nil:NilClass\n* app/shop.rb | boom:9\n"
    );
}

#[test]
fn go_with_other_goroutines() {
    let text = "panic: runtime error: index out of range [5] with length 3 [recovered]\n\ngoroutine 18 [running]:\npanic({0x4a1b20?, 0xc000012345?})\n\t/usr/local/go/src/runtime/panic.go:770 +0x132\nexample.com/shop/cart.(*Cart).Add(0xc000012345, 0x2)\n\t/srv/shop/cart/cart.go:12 +0x1d\nnet/http.(*conn).serve(0x1)\n\t/opt/go/src/net/http/server.go:1930 +0x2\nmain.main.func1()\n\t/srv/shop/main.go:7 +0x3\ncreated by main.main in goroutine 1\n\t/srv/shop/main.go:5 +0x4\n\ngoroutine 1 [sleep]:\nmain.other()\n\t/srv/shop/other.go:1 +0x1\nexit status 2";
    assert_eq!(
        told(text),
        "runtime error: index out of range [5] with length 3\n  runtime | panic:770\n* example.com/shop/cart | (*Cart).Add:12\n  net/http | (*conn).serve:1930\n* main | main.func1:7\n* main | main:5\n"
    );
}

#[test]
fn rust_panics_with_and_without_a_backtrace() {
    let bare =
        "thread 'main' (31192) panicked at src/cart.rs:3:5:\nno cart 12\nnote: run with `RUST_BACKTRACE=1`";
    assert_eq!(told(bare), "panic: no cart 12\n* src/cart.rs | :3\n");
    assert_eq!(
        told("thread 'main' panicked at 'no cart 12', src/cart.rs:3:5"),
        "panic: no cart 12\n* src/cart.rs | :3\n"
    );
    let full = "thread 'tokio-rt' (7) panicked at src/cart.rs:3:5:\nno cart\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/9fc6b43126469e3858e2fe86cafb4f0fd5068869/library/std/src/panicking.rs:665:5\n   1: core::panicking::panic_fmt\n             at /rustc/9fc6/library/core/src/panicking.rs:76:14\n   2: shop::cart::add::{{closure}}\n             at ./src/cart.rs:3:5\n   3:     0x55d0c0ffee - <shop::Cart as shop::Add<u8>>::run::h0123456789abcdef\n             at ./src/main.rs:9:1\n   4: core::ops::function::FnOnce::call_once\n             at /rustc/9fc6/library/core/src/ops/function.rs:250:5\nnote: some details are omitted";
    assert_eq!(
        told(full),
        "panic: no cart\n  panicking.rs | rust_begin_unwind:665\n  core::panicking | panic_fmt:76\n* shop::cart | add:3\n* <shop::Cart as shop::Add<u8>> | run:9\n  core::ops::function | FnOnce::call_once:250\n"
            .replace("core::ops::function | FnOnce::call_once", "core::ops::function::FnOnce | call_once")
            .replace("  panicking.rs |", "  src/panicking.rs |")
    );
}

#[test]
fn rust_diagnostics() {
    let text =
        "error[E0308]: mismatched types\n --> src/main.rs:3:5\n  |\n3 |     1\n  |     ^ expected `()`";
    assert_eq!(told(text), "error[E0308]: mismatched types\n* src/main.rs | :3\n");
}

#[test]
fn php_exceptions_and_warnings() {
    let text = "PHP Fatal error:  Uncaught RuntimeException: no row in /srv/shop/Db.php:7\nStack trace:\n#0 /srv/shop/index.php(3): Shop\\Db->fetch(1)\n#1 /srv/shop/vendor/x/Router.php(9): index()\n#2 {main}\n\nNext Shop\\CartError: cart in /srv/shop/Cart.php:12\nStack trace:\n#0 /srv/shop/index.php(4): Shop\\Cart->add()\n#1 {main}\n  thrown in /srv/shop/Cart.php on line 12";
    assert_eq!(
        told(text),
        "Shop\\CartError: cart\n* Cart.php | Shop\\Cart::add:12\n* index.php | {main}:4\nbecause RuntimeException: no row\n"
    );
    let warning = "PHP Warning:  Undefined variable $x in /srv/shop/index.php on line 3";
    assert_eq!(told(warning), "PHP Warning: Undefined variable $x\n* index.php | :3\n");
}
