//! Issues certificates for tests.
//!
//! They come from an authority in a test's directory. Nothing here is secret or kept.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{
    CrlNumber, X509, X509Builder, X509CrlBuilder, X509Extension, X509Name, X509NameRef, X509RevokedBuilder,
};

const DAY: i64 = 24 * 60 * 60;

/// Issues certificates and says which are revoked. Its files are in a directory that somebody else removes.
pub struct Authority {
    directory: PathBuf,
    name: String,
    certificate: X509,
    key: PKey<Private>,
    /// The authorities between this one and the root, in the order in which a server sends them.
    chain: Vec<X509>,
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The common name: of a client the role, of a server in old times its host.
    pub common_name: &'a str,
    /// The alternative names: addresses if they read as such, host names otherwise.
    pub names: &'a [&'a str],
    /// From when to when it is valid, in seconds from now.
    pub valid: Range<i64>,
    /// What its key is of.
    pub algorithm: Algorithm,
}

impl Subject<'_> {
    /// When a certificate is valid that has nothing wrong with it.
    pub const NOW: Range<i64> = -DAY..30 * DAY;
    /// When one was valid that is not any more.
    pub const EXPIRED: Range<i64> = -30 * DAY..-DAY;
    /// When one will be valid that is not yet.
    pub const NOT_YET: Range<i64> = DAY..30 * DAY;
}

impl Default for Subject<'_> {
    fn default() -> Self {
        Subject { common_name: "nobody", names: &[], valid: Subject::NOW, algorithm: Algorithm::Ecdsa }
    }
}

/// What a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with 2,048 bits.
    Rsa,
    /// ECDSA on the curve P-256.
    Ecdsa,
    /// Ed25519, whose signatures have no hash that channel binding could take.
    Ed25519,
}

/// How a key file is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// `BEGIN ENCRYPTED PRIVATE KEY`
    Pkcs8,
    /// `Proc-Type: 4,ENCRYPTED`, as OpenSSL wrote it for RSA and ECDSA before there was PKCS #8.
    Traditional,
}

/// A certificate with its key, as files.
pub struct Certificate {
    certificate: X509,
    key: PKey<Private>,
    file: PathBuf,
    key_file: PathBuf,
}

impl Authority {
    /// Makes one that answers to nobody. `name` becomes part of its name and of the names of its files.
    ///
    /// # Errors
    /// OpenSSL refuses, or the files can't be written.
    pub fn new(directory: &Path, name: &str) -> Result<Authority> {
        Authority::with_key(directory, name, Algorithm::Ecdsa)
    }

    /// Makes one whose signatures are of a certain kind.
    ///
    /// # Errors
    /// OpenSSL refuses, or the files can't be written.
    pub fn with_key(directory: &Path, name: &str, algorithm: Algorithm) -> Result<Authority> {
        let key = new_key(algorithm)?;
        let certificate = authority(name, &key, None).with_context(|| format!("making the authority {name:?}"))?;
        Authority { directory: directory.to_owned(), name: name.to_owned(), certificate, key, chain: vec![] }.written()
    }

    /// Makes one that this one vouches for. What it issues comes with its own certificate in the file.
    ///
    /// # Errors
    /// OpenSSL refuses, or the files can't be written.
    pub fn intermediate(&self, name: &str) -> Result<Authority> {
        let key = new_key(Algorithm::Ecdsa)?;
        let certificate =
            authority(name, &key, Some(self)).with_context(|| format!("making the authority {name:?}"))?;
        let chain = std::iter::once(certificate.clone()).chain(self.chain.iter().cloned()).collect();
        Authority { directory: self.directory.clone(), name: name.to_owned(), certificate, key, chain }.written()
    }

    fn written(self) -> Result<Authority> {
        write(&self.file(), &self.certificate.to_pem()?, 0o644)?;
        Ok(self)
    }

    /// Its own certificate: what trusts it needs this file.
    pub fn file(&self) -> PathBuf {
        self.directory.join(format!("{}.crt", self.name))
    }

    /// Issues a certificate.
    ///
    /// # Errors
    /// OpenSSL refuses, or the files can't be written.
    pub fn issue(&self, subject: &Subject) -> Result<Certificate> {
        self.try_issue(subject).with_context(|| format!("issuing a certificate to {:?}", subject.common_name))
    }

    fn try_issue(&self, subject: &Subject) -> Result<Certificate> {
        let key = new_key(subject.algorithm)?;
        let mut builder = builder(&*named(subject.common_name)?, &key, &subject.valid)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().build()?)?;
        if !subject.names.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for name in subject.names {
                if name.parse::<std::net::IpAddr>().is_ok() {
                    names.ip(name)
                } else {
                    names.dns(name)
                };
            }
            let names = names.build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(names)?;
        }
        builder.sign(&self.key, digest(&self.key))?;
        let certificate = builder.build();

        let serial = certificate.serial_number().to_bn()?.to_hex_str()?.to_string();
        let file = self.directory.join(format!("{}-{serial}.crt", self.name));
        let mut pem = certificate.to_pem()?;
        for authority in &self.chain {
            pem.extend(authority.to_pem()?);
        }
        write(&file, &pem, 0o644)?;
        let key_file = file.with_extension("key");
        write(&key_file, &key.private_key_to_pem_pkcs8()?, 0o600)?;
        Ok(Certificate { certificate, key, file, key_file })
    }

    /// Writes a list of what this authority has revoked: these, and one that nobody has. `name` is the file's.
    ///
    /// # Errors
    /// OpenSSL refuses, or the file can't be written.
    pub fn revoke(&self, name: &str, certificates: &[&Certificate]) -> Result<PathBuf> {
        let file = self.directory.join(format!("{name}.crl"));
        self.list_of_revoked(certificates)
            .and_then(|list| write(&file, &list, 0o644))
            .with_context(|| format!("making the list of revoked certificates {name:?}"))?;
        Ok(file)
    }

    fn list_of_revoked(&self, certificates: &[&Certificate]) -> Result<Vec<u8>> {
        let since = at(-DAY)?;
        let nobody = serial_number()?;
        let mut list = X509CrlBuilder::new()?;
        list.set_issuer_name(self.certificate.subject_name())?;
        list.set_last_update(&since)?;
        let until = at(30 * DAY)?;
        list.set_next_update(&until)?;
        let context = X509::builder()?;
        let issuer =
            AuthorityKeyIdentifier::new().keyid(true).build(&context.x509v3_context(Some(&self.certificate), None))?;
        list.append_extension(issuer)?;
        list.append_extension(CrlNumber::new(BigNum::from_u32(1)?)?.build()?)?;
        let serials = certificates.iter().map(|revoked| revoked.certificate.serial_number());
        for serial in serials.chain([&*nobody]) {
            let mut entry = X509RevokedBuilder::new()?;
            entry.set_serial_number(serial)?;
            entry.set_revocation_date(&since)?;
            list.add_revoked(entry.build())?;
        }
        list.sort()?;
        list.sign(&self.key, digest(&self.key))?;
        Ok(list.build()?.to_pem()?)
    }
}

impl Certificate {
    /// The certificate, and those of the authorities below the root.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The key, which only the file's owner may read.
    pub fn key(&self) -> &Path {
        &self.key_file
    }

    /// The key in another file, with a mode such as `0o644`.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn key_with_mode(&self, mode: u32) -> Result<PathBuf> {
        let file = self.key_file.with_extension(format!("{mode:o}.key"));
        write(&file, &self.key.private_key_to_pem_pkcs8()?, mode)?;
        Ok(file)
    }

    /// The key in another file, which takes a password to read.
    ///
    /// # Errors
    /// This kind of key can't be protected that way, or the file can't be written.
    pub fn encrypted_key(&self, encryption: Encryption, password: &str) -> Result<PathBuf> {
        let (cipher, password) = (Cipher::aes_256_cbc(), password.as_bytes());
        let pem = match (encryption, self.key.id()) {
            (Encryption::Pkcs8, _) => self.key.private_key_to_pem_pkcs8_passphrase(cipher, password)?,
            (Encryption::Traditional, Id::RSA) => self.key.rsa()?.private_key_to_pem_passphrase(cipher, password)?,
            (Encryption::Traditional, Id::EC) => self.key.ec_key()?.private_key_to_pem_passphrase(cipher, password)?,
            (Encryption::Traditional, id) => bail!("there is no traditional format of {id:?} keys"),
        };
        let file = self.key_file.with_extension(format!("{encryption:?}.key"));
        write(&file, &pem, 0o600)?;
        Ok(file)
    }
}

fn authority(name: &str, key: &PKey<Private>, above: Option<&Authority>) -> Result<X509> {
    let own = named(&format!("{name} of the laboratory"))?;
    let mut builder = builder(&own, key, &Subject::NOW)?;
    let (issuer, signer) = above.map_or((&*own, key), |above| (above.certificate.subject_name(), &above.key));
    builder.set_issuer_name(issuer)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    builder.sign(signer, digest(signer))?;
    Ok(builder.build())
}

/// What a key signs: Ed25519 has no hash but its own.
fn digest(key: &PKey<Private>) -> MessageDigest {
    if key.id() == Id::ED25519 { MessageDigest::null() } else { MessageDigest::sha256() }
}

/// All that certificates have in common.
fn builder(subject: &X509NameRef, key: &PKey<Private>, valid: &Range<i64>) -> Result<X509Builder> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial_number()?)?;
    builder.set_subject_name(subject)?;
    builder.set_pubkey(key)?;
    let [from, until] = [at(valid.start)?, at(valid.end)?];
    builder.set_not_before(&from)?;
    builder.set_not_after(&until)?;
    let identifier: X509Extension = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    Ok(builder)
}

fn named(common_name: &str) -> Result<X509Name> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

fn serial_number() -> Result<Asn1Integer> {
    let mut number = BigNum::new()?;
    number.rand(127, MsbOption::ONE, false)?;
    Ok(number.to_asn1_integer()?)
}

fn at(seconds_from_now: i64) -> Result<Asn1Time> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Asn1Time::from_unix(i64::try_from(now.as_secs())? + seconds_from_now)?)
}

fn new_key(algorithm: Algorithm) -> Result<PKey<Private>> {
    Ok(match algorithm {
        Algorithm::Rsa => PKey::from_rsa(Rsa::generate(2048)?)?,
        Algorithm::Ecdsa => PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?,
        Algorithm::Ed25519 => PKey::generate_ed25519()?,
    })
}

fn write(file: &Path, text: &[u8], mode: u32) -> Result<()> {
    fs::write(file, text)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("writing {}", file.display()))
}
