//! Which addresses are on the public Internet, and why the others are not.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not one a stranger may send us to.
///
/// The ranges are those of the IANA special-purpose registries for [IPv4] and [IPv6]. An IPv6 address that carries an
/// IPv4 one (mapped, compatible, NAT64, 6to4) is judged by the address it carries.
///
/// ```
/// use vestibule_atproto_identity::net::NotPublic;
///
/// assert_eq!(NotPublic::of("169.254.169.254".parse().unwrap()), Some(NotPublic::LinkLocal));
/// assert_eq!(NotPublic::of("::ffff:10.0.0.1".parse().unwrap()), Some(NotPublic::Private));
/// assert_eq!(NotPublic::of("2606:4700:4700::1111".parse().unwrap()), None);
/// ```
///
/// [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry/
/// [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry/
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum NotPublic {
    /// `0.0.0.0/8` and `::`: this host, on this network.
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, `fc00::/7` and the old site-local `fec0::/10`.
    Private,
    /// `100.64.0.0/10`, between a provider and its customers ([RFC 6598](https://www.rfc-editor.org/rfc/rfc6598)).
    ProviderNat,
    /// `169.254.0.0/16` and `fe80::/10`; cloud providers serve their machines' credentials here.
    LinkLocal,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24`, `2001:db8::/32` and `3fff::/20`.
    Documentation,
    /// `198.18.0.0/15`.
    Benchmarking,
    /// `192.0.0.0/24` and `2001::/23`, Teredo, ORCHID and IPv6 benchmarking included.
    ProtocolAssignment,
    /// `64:ff9b:1::/48`, a NAT64 prefix of local meaning ([RFC 8215](https://www.rfc-editor.org/rfc/rfc8215)).
    LocalTranslation,
    /// `100::/64`, where packets are thrown away ([RFC 6666](https://www.rfc-editor.org/rfc/rfc6666)).
    Discard,
    /// `192.88.99.0/24`, `240.0.0.0/4`, and all of IPv6 outside `2000::/3` that is not named above.
    Reserved,
}

impl NotPublic {
    /// What keeps `address` from being public; `None` for one that is.
    pub const fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::ProviderNat => "a provider's shared address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "a documentation address",
            Self::Benchmarking => "a benchmarking address",
            Self::ProtocolAssignment => "an address assigned to a protocol",
            Self::LocalTranslation => "an address of a local translation prefix",
            Self::Discard => "a discard address",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn of_v4(address: Ipv4Addr) -> Option<NotPublic> {
    Some(match address.octets() {
        [0, ..] => NotPublic::Unspecified,
        [127, ..] => NotPublic::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => NotPublic::Private,
        [100, 64..=127, ..] => NotPublic::ProviderNat,
        [169, 254, ..] => NotPublic::LinkLocal,
        [192, 0, 0, _] => NotPublic::ProtocolAssignment,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => NotPublic::Documentation,
        [198, 18 | 19, ..] => NotPublic::Benchmarking,
        [255, 255, 255, 255] => NotPublic::Broadcast,
        [224..=239, ..] => NotPublic::Multicast,
        [192, 88, 99, _] | [240..=255, ..] => NotPublic::Reserved,
        _ => return None,
    })
}

const fn of_v6(address: Ipv6Addr) -> Option<NotPublic> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => NotPublic::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => NotPublic::Loopback,
        // Mapped (`::ffff:0:0/96`), compatible (`::/96`) and NAT64 (`64:ff9b::/96`) end in an IPv4 address.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            return of_v4(carried(high, low));
        }
        // 6to4 has it right after its prefix.
        [0x2002, high, low, ..] => return of_v4(carried(high, low)),
        [0x64, 0xff9b, 1, ..] => NotPublic::LocalTranslation,
        [0x100, 0, 0, 0, ..] => NotPublic::Discard,
        [0x2001, 0..=0x1ff, ..] => NotPublic::ProtocolAssignment,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => NotPublic::Documentation,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => NotPublic::Private,
        [0xfe80..=0xfebf, ..] => NotPublic::LinkLocal,
        [0xff00..=0xffff, ..] => NotPublic::Multicast,
        [0x2000..=0x3fff, ..] => return None,
        _ => NotPublic::Reserved,
    })
}

/// The IPv4 address written in two segments of an IPv6 one.
const fn carried(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::NotPublic::{self, *};

    fn of(address: &str) -> Option<NotPublic> {
        NotPublic::of(address.parse().unwrap_or_else(|_| panic!("{address} is not an address")))
    }

    #[test]
    fn r110_addresses_that_are_not_public() {
        let rows = [
            ("0.0.0.0", Unspecified),
            ("0.255.255.255", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("100.64.0.0", ProviderNat),
            ("100.127.255.255", ProviderNat),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("169.254.0.0", LinkLocal),
            ("169.254.169.254", LinkLocal),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.0.0.8", ProtocolAssignment),
            ("192.0.0.255", ProtocolAssignment),
            ("192.0.2.1", Documentation),
            ("192.88.99.1", Reserved),
            ("192.168.0.0", Private),
            ("192.168.255.255", Private),
            ("198.18.0.0", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("198.51.100.7", Documentation),
            ("203.0.113.255", Documentation),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.0", Reserved),
            ("255.255.255.254", Reserved),
            ("255.255.255.255", Broadcast),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::2", Unspecified), // compatible: carries 0.0.0.2
            ("::127.0.0.1", Loopback),
            ("::10.1.2.3", Private),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::ffff:0.0.0.0", Unspecified),
            ("::ffff:0:127.0.0.1", Reserved), // the stateless translation prefix of RFC 2765
            ("64:ff9b::10.0.0.1", Private),
            ("64:ff9b::127.0.0.1", Loopback),
            ("64:ff9b::a9fe:a9fe", LinkLocal),
            ("64:ff9b:0:0:0:1:808:808", Reserved),
            ("64:ff9b:1::808:808", LocalTranslation),
            ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", LocalTranslation),
            ("100::", Discard),
            ("100::ffff:ffff:ffff:ffff", Discard),
            ("100:0:0:1::", Reserved),
            ("1fff:ffff::", Reserved),
            ("2001::1", ProtocolAssignment), // Teredo
            ("2001:0:ffff::", ProtocolAssignment),
            ("2001:2::1", ProtocolAssignment),  // benchmarking
            ("2001:10::1", ProtocolAssignment), // ORCHID
            ("2001:2f::1", ProtocolAssignment), // ORCHIDv2
            ("2001:1ff:ffff::", ProtocolAssignment),
            ("2001:db8::1", Documentation),
            ("2001:db8:ffff::", Documentation),
            ("2002:7f00:1::", Loopback), // 6to4 around 127.0.0.1
            ("2002:a00:1::1", Private),
            ("2002:a9fe:a9fe::", LinkLocal),
            ("3fff::1", Documentation),
            ("3fff:fff::1", Documentation),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            ("fc00::1", Private),
            ("fd12:3456:789a::1", Private),
            ("fe00::1", Reserved),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("feff::1", Private),
            ("ff02::1", Multicast),
            ("ff0e::1", Multicast),
        ];
        for (address, why) in rows {
            assert_eq!(of(address), Some(why), "{address}");
        }
    }

    #[test]
    fn r110_addresses_that_are_public() {
        let rows = [
            "1.0.0.0",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7:ffff::",
            "2001:db9::",
            "2002:808:808::1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
            "3fff:1000::1",
        ];
        for address in rows {
            assert_eq!(of(address), None, "{address}");
        }
    }
}
