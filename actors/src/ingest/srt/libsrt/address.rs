//! Addresses as C has them.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Reads one.
///
/// # Safety
/// `address` points to an address of its family's size.
pub(super) unsafe fn from_c(address: *const libc::sockaddr) -> SocketAddr {
    // SAFETY: every address begins with its family, and what follows is as the family says. They may lie anywhere.
    unsafe {
        if c_int::from((*address).sa_family) == libc::AF_INET6 {
            let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
            // A socket for both families shows IPv4 in IPv6's clothes.
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
            (ip, u16::from_be(v6.sin6_port)).into()
        } else {
            let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
            (Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into()
        }
    }
}

/// Writes one; how many bytes of it are used.
pub(super) fn to_c(address: SocketAddr) -> (libc::sockaddr_storage, c_int) {
    // SAFETY: numbers alone, so that zeros are one.
    let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let place = &raw mut storage;
    let length = match address {
        SocketAddr::V4(address) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: there is room for an address of any family, and it is aligned for it.
            unsafe { place.cast::<libc::sockaddr_in>().write(v4) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe { place.cast::<libc::sockaddr_in6>().write(v6) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as c_int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["192.0.2.7:9000", "[2001:db8::7]:9000"] {
            let address: SocketAddr = text.parse().unwrap();
            let (written, length) = to_c(address);
            assert_eq!(length, if address.is_ipv4() { 16 } else { 28 });
            // SAFETY: written just now.
            assert_eq!(unsafe { from_c((&raw const written).cast()) }, address);
        }
    }
}
