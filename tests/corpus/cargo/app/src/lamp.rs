use std::collections::HashMap;

pub fn turn(rooms: &HashMap<&str, u32>, name: &str) {
    let found: Result<u32, String> = rooms.get(name).copied().ok_or(format!("no lamp faces {name}\nonly north is lit"));
    println!("{}", found.unwrap());
}

pub fn blow(horns: &[u32], at: usize) -> u32 {
    horns[at]
}

#[cfg(test)]
mod tests {
    #[test]
    fn horns_are_counted() {
        assert_eq!(super::blow(&[4], 0), 4);
    }

    #[test]
    fn horns_are_loud() {
        assert_eq!(super::blow(&[4], 0), 5, "louder, please");
    }
}
