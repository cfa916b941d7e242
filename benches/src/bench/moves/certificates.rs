//! An authority of the run's own and a certificate for each host, for the channel between them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

/// The authority, and the folder that all is written to.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { issuer, folder: folder.into() };
        write(&folder.join("authority.pem"), &authority.issuer.pem())?;
        Ok(authority)
    }

    /// The settings of [peers] for the host called `host`, whose certificate is made.
    pub(super) fn settings(&self, host: &str, listen: &str) -> Result<String> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![host.to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let place = |end: &str| self.folder.join(format!("{host}.{end}"));
        write(&place("pem"), &certificate.pem())?;
        write(&place("key"), &key.serialize_pem())?;
        Ok(format!(
            "[peers]\nlisten = [\"{listen}\"]\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
            place("pem").display(),
            place("key").display(),
            self.folder.join("authority.pem").display(),
        ))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
