//! Numbers and addresses as text, for every message: the formatter of the standard library takes
//! about a tenth of a microsecond for each.

use std::net::{IpAddr, SocketAddr};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends a number in decimal digits.
pub fn decimal(out: &mut Vec<u8>, mut number: u64) {
    // 2^64 has twenty.
    let (mut text, mut left) = ([0; 20], 0);
    for place in text.iter_mut().rev() {
        *place = b'0' | (number % 10) as u8;
        number /= 10;
        left += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(text.len().saturating_sub(left)..).unwrap_or_default());
}

/// A number in sixteen hexadecimal digits.
pub fn hex(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(number.to_be_bytes()) {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

/// Appends an address, an IPv6 one without brackets.
pub fn ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (place, byte) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                decimal(out, byte.into());
            }
        }
        IpAddr::V6(v6) => out.extend_from_slice(v6.to_string().as_bytes()),
    }
}

/// Appends an address with its port, an IPv6 one in brackets.
pub fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            ip(out, IpAddr::V4(*v4.ip()));
            out.push(b':');
            decimal(out, v4.port().into());
        }
        SocketAddr::V6(v6) => out.extend_from_slice(v6.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_formatter() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = b"x".to_vec();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        for number in [0, 7, 10, 99, 100, 65_535, 1 << 40, u64::MAX] {
            assert_eq!(written(&|out| decimal(out, number)), format!("x{number}"));
            assert_eq!(hex(number), *format!("{number:016x}").as_bytes());
        }
        for text in ["192.0.2.1:5060", "0.10.255.9:1", "[2001:db8::1]:5060", "[::ffff:1.2.3.4]:9"] {
            let it: SocketAddr = text.parse().unwrap();
            assert_eq!(written(&|out| address(out, it)), format!("x{it}"));
            assert_eq!(written(&|out| ip(out, it.ip())), format!("x{}", it.ip()));
        }
    }
}
