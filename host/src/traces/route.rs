//! From the path of a request to its route: `/orders/:id` for `/orders/17?page=2`.
//!
//! Pure. What makes paths of one route differ is taken out: numbers, dates, UUIDs, long hexadecimal and long random
//! names, and everything behind the path.

use std::fmt::Write;

/// What stands in place of what differs.
const ID: &str = ":id";
/// Longest route, in bytes, without what says that it was cut.
const ROUTE_BYTES: usize = 80;
/// Longest method, in bytes.
const METHOD_BYTES: usize = 12;
/// Hexadecimal digits from which on they are no word: short hashes have 7, and `deadbeef` has no digit.
const HEX_DIGITS: usize = 7;
/// Letters and digits mixed from which on they are a random name: those of nanoid have 21, ULIDs 26.
const RANDOM_CHARS: usize = 20;

/// Writes the route of a request into `route`, whose memory is reused.
pub fn write(method: &str, path: &str, route: &mut String) {
    route.clear();
    route.push_str(&method[..method.floor_char_boundary(METHOD_BYTES)]);
    route.push(' ');
    let start = route.len();
    let path = path.split(['?', '#', ';']).next().unwrap_or_default();
    // `GET http://host/path` is what a proxy is asked.
    let path = match path.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => path,
    };
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            route.push('/');
        }
        let (stem, ending) = match segment.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() && !ending.bytes().all(|byte| byte.is_ascii_digit()) => {
                (stem, Some(ending))
            }
            _ => (segment, None),
        };
        match ending {
            _ if !is_id(stem) => route.push_str(segment),
            None => route.push_str(ID),
            Some(ending) => {
                // Writing to a text cannot fail.
                let _ = write!(route, "{ID}.{ending}");
            }
        }
        if route.len() - start > ROUTE_BYTES {
            route.truncate(route.floor_char_boundary(start + ROUTE_BYTES));
            route.push('…');
            return;
        }
    }
}

/// Returns whether a part of a path names one thing of many.
fn is_id(part: &str) -> bool {
    let (mut digits, mut hex, mut others, mut marks) = (0, 0, 0, 0);
    for byte in part.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => hex += 1,
            b'g'..=b'z' | b'G'..=b'Z' => others += 1,
            b'-' | b'_' | b':' | b',' | b'.' | b'+' => marks += 1,
            _ => return false,
        }
    }
    let is_number = hex + others == 0;
    let is_hex = others == 0 && digits + hex >= HEX_DIGITS;
    // A name of words has marks between them.
    let is_random = marks <= 1 && digits + hex + others >= RANDOM_CHARS;
    digits > 0 && (is_number || is_hex || is_random)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(path: &str) -> String {
        let mut route = "left over".to_owned();
        write("GET", path, &mut route);
        route
    }

    #[test]
    fn what_names_one_of_many_is_taken_out() {
        for (path, expected) in [
            ("/", "/"),
            ("/orders/17", "/orders/:id"),
            ("/orders/17/items/3?page=2&x=/1", "/orders/:id/items/:id"),
            ("/users/550e8400-e29b-41d4-a716-446655440000/edit", "/users/:id/edit"),
            ("/commit/1f0c9ab/tree", "/commit/:id/tree"),
            ("/o/507f1f77bcf86cd799439011", "/o/:id"),
            ("/k/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/k/:id"),
            ("/days/2026-11-20", "/days/:id"),
            ("/reports/42.json", "/reports/:id.json"),
            ("/at/52.5,13.4", "/at/:id"),
            ("http://shop.test/a/1", "/a/:id"),
            ("http://shop.test", "/"),
            ("/a#b", "/a"),
            ("/a;jsessionid=1F", "/a"),
        ] {
            assert_eq!(route(path), format!("GET {expected}"), "{path}");
        }
    }

    #[test]
    fn what_names_a_thing_of_its_own_stays() {
        for path in [
            "/api/v1/users",
            "/deadbeef",
            "/feedback",
            "/s3/upload",
            "/blog/how-to-write-100-tests-before-lunch",
            "/static/app.js",
            "/.well-known/security.txt",
            "/a/b..c/%20",
            "",
            "*",
        ] {
            assert_eq!(route(path), format!("GET {path}"));
        }
    }

    #[test]
    fn the_longest_names_are_cut() {
        let route = route(&format!("/{}", "ä/".repeat(500)));
        assert!(route.len() <= METHOD_BYTES + 1 + ROUTE_BYTES + '…'.len_utf8(), "{route}");
        assert!(route.ends_with('…'));
        let mut long = String::new();
        write(&"Ä".repeat(50), "/", &mut long);
        assert_eq!(long, format!("{} /", "Ä".repeat(METHOD_BYTES / 2)));
    }

    proptest! {
        #[test]
        fn any_path_gives_a_short_route_that_is_its_own(method in ".{0,20}", path in "\\PC{0,200}") {
            let (mut route, mut again) = (String::new(), String::new());
            write(&method, &path, &mut route);
            prop_assert!(route.len() <= METHOD_BYTES + 1 + ROUTE_BYTES + '…'.len_utf8());
            let told = route.split_once(' ').map_or("", |(_, told)| told);
            if !route.ends_with('…') && !method.contains(' ') && !told.contains("://") {
                write(&method, told, &mut again);
                prop_assert_eq!(again, route);
            }
        }
    }
}
