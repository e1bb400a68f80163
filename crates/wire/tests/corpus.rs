//! Replays the corpus of the fuzz target `frame`, and holds its seeds against the builders that made them.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::Corpus;

#[test]
fn every_file_of_the_corpus_passes_the_harness() {
    Corpus::of("frame").replay(1..=500, wire::fuzz::frame);
}

#[test]
fn every_seed_is_in_the_corpus() {
    Corpus::of("frame").holds(wire::fuzz::seeds(), "cargo run -p wire --example corpus");
}

#[test]
fn seeds_parse_or_are_refused_as_their_names_say() {
    for (name, bytes) in wire::fuzz::seeds() {
        let (vnet, frame) = wire::vnet::VnetHeader::split(&bytes).expect("a virtio-net header");
        let packet = wire::Packet::parse(frame);
        assert_eq!(packet.is_err(), name.starts_with("refused-"), "{name}: {packet:?}");
        if let Ok(packet) = packet {
            assert_eq!(vnet.check(&packet), Ok(()), "{name}");
        }
    }
}
