//! For tests: an authority, and hosts that it certified.

use std::time::{SystemTime, UNIX_EPOCH};

use model::{Duration, HostId, Time};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};

use crate::identity::{Identity, Trust};

/// As an agent that is alone has them, with its files here.
pub(crate) fn options(data: &std::path::Path) -> crate::Options {
    crate::Options {
        host: host("host-1"),
        data: data.to_owned(),
        queues: 1,
        mtu: crate::MTU,
        limits: linux::sandbox::Limits::default(),
        prefix: "peerway-test".into(),
        underlay: None,
        allow_esp_keys: false,
        dns_upstream: None,
        uplink: None,
        lifetime: crate::Lifetime::OutliveAgent,
    }
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(crate) fn host(name: &str) -> HostId {
    name.parse().unwrap()
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_unix_millis(since.as_millis() as i64)
}

pub(crate) fn before(time: Time, days: i64) -> Time {
    Time::from_unix_millis(time.as_unix_millis() - days * 86_400_000)
}

pub(crate) fn days(days: i64) -> Duration {
    Duration::hours(24 * days)
}

impl Authority {
    /// All of them have the same name, so that only the key tells them apart.
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A certificate from a day before `at` to a day after it, with these names.
    pub(crate) fn issue(&self, csr: &[u8], uris: &[&str], at: Time) -> Vec<u8> {
        self.issue_for(csr, uris, at, &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth])
    }

    pub(crate) fn issue_for(&self, csr: &[u8], uris: &[&str], at: Time, uses: &[ExtendedKeyUsagePurpose]) -> Vec<u8> {
        let request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.extended_key_usages = uses.to_vec();
        let day = std::time::Duration::from_secs(86_400);
        let at = std::time::Duration::from_millis(at.as_unix_millis() as u64);
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + at - day;
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + at + day;
        params.signed_by(&request.public_key, &self.0).unwrap().der().to_vec()
    }

    pub(crate) fn host(&self, name: &str) -> Identity {
        let mut identity = Identity::open(host(name), None).unwrap();
        self.certify(&mut identity, now());
        identity
    }

    /// A certificate of that time, taken at that time.
    pub(crate) fn certify(&self, identity: &mut Identity, at: Time) {
        let certificate = self.issue(&identity.csr().unwrap(), &[&stream::host_uri(identity.host())], at);
        identity.accept(vec![certificate], self.root(), Trust::Connection, at).unwrap();
    }
}
