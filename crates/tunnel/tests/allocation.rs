//! Nothing is allocated to seal or open a packet, good or bad: a counting allocator says so.

use model::{Domain, Scope};
use tunnel::{Cipher, Identity, Inbound, KeyMaterial, OpenError, Outbound, Sas};
use wire::esp::{HEADER_LEN, next_header, sealed_len};

fn ends(cipher: Cipher) -> (Outbound, Inbound) {
    let vpc = "vpc-0123456789abcdef0".parse().unwrap();
    let domain = Domain { from: vpc, to: vpc, scope: Scope::Vpc };
    let identity = Identity { spi: 4096, domain, host: "host-1".parse().unwrap(), shard: 0, partial_sums: true };
    let material = KeyMaterial::fill::<()>(|bytes| {
        bytes.fill(3);
        Ok(())
    })
    .unwrap();
    (Outbound::new(identity, &material, cipher), Inbound::new(identity, &material, cipher))
}

#[test]
fn sealing_and_opening_allocates_nothing() {
    for (cipher, inner_len) in [(Cipher::Ring, 1400), (Cipher::AwsLc, 8900)] {
        let (outbound, inbound) = ends(cipher);
        let Identity { domain, host, shard, spi, .. } = *outbound.identity();
        let sas = Sas::new([outbound.into()], [inbound.into()], 7);
        let len = sealed_len(inner_len);
        let mut buf = vec![1; len * 32];
        let mut failures = 0;
        let measured = allocation_counter::measure(|| {
            for _ in 0..100 {
                let outbound = sas.outbound(domain, host, shard).unwrap();
                let first = outbound.reserve(32, 32 * inner_len as u64).unwrap();
                for (packet, sequence) in buf.chunks_exact_mut(len).zip(first..) {
                    packet[HEADER_LEN..][..2].copy_from_slice(&[0x45, 0]);
                    packet[HEADER_LEN + 2..][..2].copy_from_slice(&(inner_len as u16).to_be_bytes());
                    outbound.seal(sequence, packet, inner_len, next_header::IPV4);
                }
                buf[HEADER_LEN + 3] ^= 1;
                let mut batch = sas.inbound(spi).unwrap().lock();
                for at in 0..32 {
                    let opened = batch.open(&mut buf, at * len..(at + 1) * len, at * len);
                    failures += usize::from(opened == Err(OpenError::Authentication));
                }
            }
        });
        assert_eq!(measured.count_total, 0, "{cipher:?}");
        assert_eq!(failures, 100);
        assert_eq!(sas.inbound(spi).unwrap().packets(), 3100);
    }
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1]))).count_total > 0, "the counter counts");
}
