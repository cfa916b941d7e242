//! An authority, and the certificates that it gives.

use std::{fs, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

pub struct Made {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn sign(&self, names: &[&str]) -> Made {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Made { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    pub fn client(&self, shows: Option<&Made>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match shows {
            None => builder.with_no_client_auth(),
            Some(made) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

impl Made {
    /// Writes `sip.pem` and `sip.key`, each in one step.
    pub fn write(&self, directory: &Path) {
        for (name, text) in [("sip.key", &self.key), ("sip.pem", &self.certificate)] {
            let new = directory.join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, directory.join(name)).unwrap();
        }
    }
}
