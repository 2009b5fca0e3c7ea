//! Certificates for the tests, made while they run.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509CrlBuilder, X509Extension, X509Name, X509NameRef, X509RevokedBuilder};

/// A certificate with its key, of an authority if it may sign others.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// The content of a certificate.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) dns: &'a [&'a str],
    pub(crate) address: Option<IpAddr>,
    /// In days from now.
    pub(crate) valid: (i64, i64),
    pub(crate) is_authority: bool,
    pub(crate) kind: Id,
}

pub(crate) const PLAIN: Wish<'static> = Wish {
    common_name: "server",
    dns: &["db.example.com"],
    address: None,
    valid: (-1, 10),
    is_authority: false,
    kind: Id::EC,
};

impl Issued {
    /// A self-signed authority.
    pub(crate) fn root(common_name: &str) -> Self {
        make(&Wish { common_name, dns: &[], is_authority: true, ..PLAIN }, None)
    }

    pub(crate) fn issues(&self, wish: &Wish) -> Self {
        make(wish, Some(self))
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(crate) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// Its certificate revocation list.
    pub(crate) fn revokes(&self, revoked: &[&Self]) -> Vec<u8> {
        let mut crl = X509CrlBuilder::new().unwrap();
        crl.set_issuer_name(self.certificate.subject_name()).unwrap();
        crl.set_last_update(&in_days(-1)).unwrap();
        crl.set_next_update(&in_days(10)).unwrap();
        for issued in revoked {
            let mut entry = X509RevokedBuilder::new().unwrap();
            entry.set_serial_number(issued.certificate.serial_number()).unwrap();
            entry.set_revocation_date(&in_days(-1)).unwrap();
            crl.add_revoked(entry.build()).unwrap();
        }
        let builder = X509::builder().unwrap();
        let context = builder.x509v3_context(Some(&self.certificate), None);
        crl.append_extension(AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap()).unwrap();
        let (crl_number, one) = (Asn1Object::from_str("2.5.29.20").unwrap(), [2, 1, 1]);
        let one = Asn1OctetString::new_from_bytes(&one).unwrap();
        crl.append_extension(X509Extension::new_from_der(&crl_number, false, &one).unwrap()).unwrap();
        crl.sign(&self.key, MessageDigest::sha256()).unwrap();
        crl.build().unwrap().to_pem().unwrap()
    }
}

fn make(wish: &Wish, issuer: Option<&Issued>) -> Issued {
    let key = match wish.kind {
        Id::ED25519 => PKey::generate_ed25519().unwrap(),
        _ => PKey::ec_gen("P-256").unwrap(),
    };
    let mut builder = X509::builder().unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(100, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    let name = named(wish.common_name);
    builder.set_subject_name(&name).unwrap();
    builder
        .set_issuer_name(issuer.map_or::<&X509NameRef, _>(&name, |issuer| issuer.certificate.subject_name()))
        .unwrap();
    builder.set_not_before(&in_days(wish.valid.0)).unwrap();
    builder.set_not_after(&in_days(wish.valid.1)).unwrap();
    builder.set_pubkey(&key).unwrap();
    extend(&mut builder, wish, issuer);
    let signer = issuer.map_or(&key, |issuer| &issuer.key);
    let digest = if signer.id() == Id::ED25519 { MessageDigest::null() } else { MessageDigest::sha256() };
    builder.sign(signer, digest).unwrap();
    Issued { certificate: builder.build(), key }
}

fn extend(builder: &mut X509Builder, wish: &Wish, issuer: Option<&Issued>) {
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(identifier).unwrap();
    if wish.is_authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    if !wish.dns.is_empty() || wish.address.is_some() {
        let mut names = SubjectAlternativeName::new();
        for name in wish.dns {
            names.dns(name);
        }
        if let Some(address) = wish.address {
            names.ip(&address.to_string());
        }
        let issuer = issuer.map(|issuer| &*issuer.certificate);
        let names = names.build(&builder.x509v3_context(issuer, None)).unwrap();
        builder.append_extension(names).unwrap();
    }
}

fn named(common_name: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    if !common_name.is_empty() {
        name.append_entry_by_text("CN", common_name).unwrap();
    }
    name.build()
}

fn in_days(days: i64) -> Asn1Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Asn1Time::from_unix(i64::try_from(now).unwrap() + days * 86_400).unwrap()
}
