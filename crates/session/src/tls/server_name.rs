//! Whether a certificate matches the host name, by libpq's rules. Pure.
//!
//! A host name is compared with the certificate's names of type `dNSName`, or with its common name if it has none. An
//! address is compared with names of either type, and with the common name if none is an `iPAddress`.

use std::net::IpAddr;

use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// The names in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    dns: Vec<Vec<u8>>,
    addresses: Vec<Vec<u8>>,
    common_name: Option<Vec<u8>>,
}

impl Names {
    pub(crate) fn of(certificate: &X509Ref) -> Self {
        let mut names = Self::default();
        // A name that is not UTF-8 cannot match and is ignored.
        for name in certificate.subject_alt_names().iter().flatten() {
            names.dns.extend(name.dnsname().map(|name| name.as_bytes().to_vec()));
            names.addresses.extend(name.ipaddress().map(<[u8]>::to_vec));
        }
        let common_name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
        names.common_name = common_name.map(|entry| entry.data().as_slice().to_vec());
        names
    }

    /// Whether one of the names matches `host`.
    pub(crate) fn are_for(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>().ok();
        if !self.looked_at(address).all(is_whole) || host.is_empty() {
            return false;
        }
        let is_address = address.is_some_and(|address| self.addresses.iter().any(|name| is_the_address(name, address)));
        let is_name = |name: &[u8]| is_the_name(name, host.as_bytes(), address.is_none());
        is_address || self.looked_at(address).any(is_name)
    }

    /// The names that a host is compared with.
    fn looked_at(&self, address: Option<IpAddr>) -> impl Iterator<Item = &[u8]> {
        let same_kind = if address.is_some() { &self.addresses } else { &self.dns };
        let common_name = self.common_name.as_ref().filter(|_| same_kind.is_empty());
        self.dns.iter().chain(common_name).map(Vec::as_slice)
    }

    /// All names, for a message.
    pub(crate) fn listed(&self) -> Vec<String> {
        let address = |name: &Vec<u8>| match *name.as_slice() {
            [a, b, c, d] => IpAddr::from([a, b, c, d]).to_string(),
            ref bytes => <[u8; 16]>::try_from(bytes)
                .map_or_else(|_| "an address of invalid length".to_owned(), |bytes| IpAddr::from(bytes).to_string()),
        };
        let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
        let mut listed: Vec<_> = self.dns.iter().map(text).chain(self.addresses.iter().map(address)).collect();
        if self.dns.is_empty() {
            listed.extend(self.common_name.iter().map(text));
        }
        listed
    }
}

/// Whether a name contains no NUL. Such a name is an attack on programs that stop reading at the NUL; libpq rejects the
/// whole certificate.
fn is_whole(name: &[u8]) -> bool {
    !name.contains(&0)
}

fn is_the_address(name: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => name == address.octets(),
        IpAddr::V6(address) => name == address.octets(),
    }
}

/// Compares names. `*` matches exactly the first label, and no part of an address.
fn is_the_name(name: &[u8], host: &[u8], may_be_wild: bool) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(domain), Some(dot)) = (name.strip_prefix(b"*"), host.iter().position(|&byte| byte == b'.')) else {
        return false;
    };
    may_be_wild && dot > 0 && domain.len() > 1 && domain.eq_ignore_ascii_case(&host[dot..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], addresses: &[&[u8]], common_name: Option<&str>) -> Names {
        Names {
            dns: dns.iter().map(|name| name.as_bytes().to_vec()).collect(),
            addresses: addresses.iter().map(|bytes| bytes.to_vec()).collect(),
            common_name: common_name.map(|name| name.as_bytes().to_vec()),
        }
    }

    #[test]
    fn a_star_stands_for_the_first_label_as_a_whole() {
        for (name, host, is_for) in [
            ("db.example.com", "db.example.com", true),
            ("DB.Example.com", "db.eXample.COM", true),
            ("db.example.com", "db2.example.com", false),
            ("db.example.com", "db.example.com.", false),
            ("db.example.com", "example.com", false),
            ("*.example.com", "db.example.com", true),
            ("*.EXAMPLE.com", "DB.example.com", true),
            ("*.example.com", "a.db.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "db.example.org", false),
            ("*.com", "example.com", true),
            ("*", "db", false),
            ("*", "db.example.com", false),
            ("*.", "db.", false),
            ("**.example.com", "db.example.com", false),
            ("d*.example.com", "db.example.com", false),
            ("*b.example.com", "db.example.com", false),
            ("db.*.com", "db.example.com", false),
            ("db.example.*", "db.example.com", false),
            ("", "db", false),
            ("", "", false),
            ("bücher.example", "bücher.example", true),
            ("BÜCHER.example", "bücher.example", false),
        ] {
            assert_eq!(names(&[name], &[], None).are_for(host), is_for, "{name} for {host}");
            assert_eq!(names(&[], &[], Some(name)).are_for(host), is_for, "{name} as a common name for {host}");
        }
    }

    #[test]
    fn a_common_name_counts_where_there_is_no_other_name_of_the_kind() {
        let v4: &[u8] = &[10, 0, 0, 1];
        let v6: &[u8] = &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        for (dns, addresses, common_name, host, is_for) in [
            (&["a"][..], &[][..], Some("b"), "a", true),
            (&["a"], &[], Some("b"), "b", false),
            (&["a", "b"], &[], None, "b", true),
            (&[], &[v4], Some("b"), "b", true),
            (&[], &[], None, "b", false),
            // An address.
            (&[], &[v4], None, "10.0.0.1", true),
            (&[], &[v4], None, "10.0.0.2", false),
            (&[], &[v4, v6], None, "2001:db8::1", true),
            (&[], &[v4, v6], None, "2001:DB8:0::0:1", true),
            (&[], &[v4, v6], None, "2001:db8::2", false),
            (&[], &[v4], None, "::ffff:10.0.0.1", false),
            (&["10.0.0.1"], &[], None, "10.0.0.1", true),
            (&["10.0.0.1"], &[v6], None, "10.0.0.1", true),
            (&["a"], &[], Some("10.0.0.1"), "10.0.0.1", true),
            (&[], &[v6], Some("10.0.0.1"), "10.0.0.1", false),
            (&["*.0.0.1"], &[], Some("*.0.0.1"), "10.0.0.1", false),
            // No address that there is.
            (&[], &[&[10, 0, 0]], None, "10.0.0.1", false),
            (&[], &[&[]], None, "10.0.0.1", false),
            (&[], &[v4], None, "10.0.0.1.", false),
        ] {
            assert_eq!(
                names(dns, addresses, common_name).are_for(host),
                is_for,
                "{dns:?} {addresses:?} {common_name:?} for {host}"
            );
        }
    }

    #[test]
    fn a_name_with_a_nul_invalidates_the_certificate() {
        assert!(!names(&["db.example.com\0.evil.org"], &[], None).are_for("db.example.com"));
        assert!(!names(&["db.example.com\0.evil.org", "db.example.com"], &[], None).are_for("db.example.com"));
        assert!(!names(&[], &[], Some("db.example.com\0.evil.org")).are_for("db.example.com"));
        assert!(!names(&[], &[], Some("\0d\0b")).are_for("db"));
        assert!(names(&["db"], &[], Some("not looked \0 at")).are_for("db"));
        assert!(!names(&["db\0"], &[&[10, 0, 0, 1]], None).are_for("10.0.0.1"));
    }

    #[test]
    fn the_names_of_a_certificate_are_listed() {
        let all = names(&["a", "*.b"], &[&[10, 0, 0, 1], &[0; 16], &[1]], Some("c"));
        assert_eq!(all.listed(), ["a", "*.b", "10.0.0.1", "::", "an address of invalid length"]);
        assert_eq!(names(&[], &[&[10, 0, 0, 1]], Some("c")).listed(), ["10.0.0.1", "c"]);
    }
}
