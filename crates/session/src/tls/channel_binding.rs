//! Binds a login to the server's certificate, so that it cannot be relayed: the channel binding `tls-server-end-point`
//! (RFC 5929). Pure.

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// The hash of a certificate with the digest of its signature, or with SHA-256 if that digest is weak. `None` if the
/// signature defines no digest, as with Ed25519.
pub(crate) fn tls_server_end_point(certificate: &X509Ref) -> Option<Vec<u8>> {
    let signature = certificate.signature_algorithm().object().nid();
    let digest = if signature == Nid::RSASSAPSS {
        pss_digest(&certificate.to_der().ok()?)?
    } else {
        signature.signature_algorithms()?.digest
    };
    let digest = match digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        Nid::UNDEF => return None,
        other => MessageDigest::from_nid(other)?,
    };
    Some(certificate.digest(digest).ok()?.to_vec())
}

/// With RSA-PSS, the digest is a parameter of the signature algorithm:
/// `Certificate { tbs, AlgorithmIdentifier { oid, RSASSA-PSS-params { [0] AlgorithmIdentifier { oid, .. } .. } }, .. }`
fn pss_digest(certificate: &[u8]) -> Option<Nid> {
    const PARAMETER_0: u8 = 0xa0;

    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, after_tbs) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(after_tbs, SEQUENCE)?;
    let (_, after_oid) = element(algorithm, OBJECT_IDENTIFIER)?;
    let (parameters, _) = element(after_oid, SEQUENCE)?;
    if parameters.first() != Some(&PARAMETER_0) {
        // The default of the parameter.
        return Some(Nid::SHA1);
    }
    let (hash, _) = element(parameters, PARAMETER_0)?;
    let (hash, _) = element(hash, SEQUENCE)?;
    let (oid, _) = element(hash, OBJECT_IDENTIFIER)?;
    match oid {
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(Nid::SHA1),
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, which] => match which {
            1 => Some(Nid::SHA256),
            2 => Some(Nid::SHA384),
            3 => Some(Nid::SHA512),
            4 => Some(Nid::SHA224),
            _ => None,
        },
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Splits off a DER element with this tag: returns its contents and the rest.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        short @ ..=0x7f => (usize::from(short), rest),
        // Lengths in a handshake never need more than four bytes.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509;

    use super::*;

    /// Signed with RSA-PSS and SHA-384.
    const PSS: &[u8] = include_bytes!("rsa_pss.pem");

    #[test]
    fn the_digest_of_rsa_pss_is_found_in_its_parameters() {
        let certificate = X509::from_pem(PSS).unwrap();
        let hash = certificate.digest(MessageDigest::sha384()).unwrap();
        assert_eq!(tls_server_end_point(&certificate).as_deref(), Some(&*hash));
    }

    #[test]
    fn a_certificate_cut_anywhere_has_no_digest() {
        let whole = X509::from_pem(PSS).unwrap().to_der().unwrap();
        for end in 0..whole.len() {
            assert_eq!(pss_digest(&whole[..end]), None, "{end}");
        }
        for first in [0x80, 0x85, 0xff] {
            assert_eq!(element(&[SEQUENCE, first, 0, 0], SEQUENCE), None);
        }
        assert_eq!(element(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff], SEQUENCE), None);
    }
}
