//! Asks the kernel for the TCP sockets that listen, and for no others (`sock_diag(7)`). Linux only.
//!
//! `/proc/net/tcp` tells the same, but makes the kernel walk its whole table of connections to print it: some
//! milliseconds each time even when there are none, where this takes a tenth of one. Where the kernel does not have it,
//! or a sandbox forbids it, that is an error, and the caller reads the table.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::listeners::Listener;

/// `SOCK_DIAG_BY_FAMILY` of the kernel's `sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `TCP_LISTEN` in the kernel's `tcp_states.h`.
const LISTEN: u32 = 10;
/// Length of `struct nlmsghdr` and, behind it in a request, of `struct inet_diag_req_v2`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
/// Length of `struct inet_diag_msg`.
const ANSWER: usize = 72;
/// More than the kernel puts into one message.
const BUFFER: usize = 64 << 10;

/// Returns the TCP sockets that listen in this network namespace.
///
/// # Errors
/// When the kernel cannot be asked that way.
pub(super) fn listening() -> io::Result<Vec<Listener>> {
    let socket = open()?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        ask(&socket, family)?;
        while take(&socket, &mut found)? {}
    }
    Ok(found)
}

fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers only.
    let number = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
    if number == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made it just now, for us alone.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    // The kernel answers at once; should it not, nobody must wait for ever.
    let second = libc::timeval { tv_sec: 1, tv_usec: 0 };
    // SAFETY: the structure is as long as said and outlives the call.
    let set = unsafe {
        let (value, length) = (std::ptr::from_ref(&second).cast(), size_of::<libc::timeval>());
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            value,
            length as libc::socklen_t,
        )
    };
    if set == -1 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn ask(socket: &OwnedFd, family: libc::c_int) -> io::Result<()> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut request = Vec::with_capacity(HEADER + REQUEST);
    request.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    // A number of the request and of who asks, which nobody needs.
    request.extend([0; 8]);
    request.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    request.extend((1u32 << LISTEN).to_ne_bytes());
    request.resize(HEADER + REQUEST, 0);
    // SAFETY: the buffer is as long as said and outlives the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes one part of the answer; returns whether there is more.
fn take(socket: &OwnedFd, found: &mut Vec<Listener>) -> io::Result<bool> {
    let mut buffer = vec![0u8; BUFFER];
    // SAFETY: the buffer is as long as said and may be written.
    let length = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut rest = &buffer[..length];
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = i32::from(u16::from_ne_bytes([header[4], header[5]]));
        let Some(body) = rest.get(HEADER..length) else { return Err(malformed()) };
        match kind {
            libc::NLMSG_DONE => return Ok(false),
            libc::NLMSG_ERROR => return Err(refused(body)),
            _ => found.push(listener(body).ok_or_else(malformed)?),
        }
        // Messages begin at multiples of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(length > 0)
}

/// Reads a `struct inet_diag_msg`: family, state and two more bytes; ports and addresses as they are on the wire; and
/// after what is of no interest here, user and inode.
fn listener(body: &[u8]) -> Option<Listener> {
    let body: &[u8; ANSWER] = body.first_chunk()?;
    let number = |at: usize| body[at..].first_chunk().copied().map(u32::from_ne_bytes);
    let address = match i32::from(body[0]) {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*body[8..].first_chunk::<4>()?)),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*body[8..].first_chunk::<16>()?)).to_canonical(),
        _ => return None,
    };
    let port = u16::from_be_bytes([body[4], body[5]]);
    Some(Listener { address, port, uid: number(64)?, inode: number(68)?.into() })
}

fn refused(body: &[u8]) -> io::Error {
    match body.first_chunk().copied().map(i32::from_ne_bytes) {
        Some(errno) if errno < 0 => io::Error::from_raw_os_error(-errno),
        _ => malformed(),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer makes no sense")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::listeners::from_table;
    use super::*;

    #[test]
    fn it_tells_of_a_listener_what_the_table_tells() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(server) = TcpListener::bind(address) else { continue };
            let at = server.local_addr().unwrap();
            // A connection has the same port and does not listen.
            let _client = TcpStream::connect(("localhost", at.port()));
            let Ok(asked) = listening() else {
                eprintln!("the kernel cannot be asked here");
                return;
            };
            let of_port = |all: Vec<Listener>| {
                let ours = all.into_iter().filter(|listener| listener.port == at.port());
                ours.map(|found| (found.address, found.uid, found.inode)).collect::<Vec<_>>()
            };
            let told = of_port(from_table());
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(of_port(asked), told, "{address}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_an_error_and_no_panic() {
        assert!(listener(&[2; ANSWER - 1]).is_none());
        assert!(listener(&[9; ANSWER]).is_none());
        assert_eq!(refused(&[]).kind(), io::ErrorKind::InvalidData);
        assert_eq!(refused(&(-libc::ENOENT).to_ne_bytes()).raw_os_error(), Some(libc::ENOENT));
    }
}
