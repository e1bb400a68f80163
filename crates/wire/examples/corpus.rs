//! Writes the seeds of the fuzz target `frame` into `fuzz/corpus/frame`: `cargo run -p wire --example corpus`.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/frame");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in wire::fuzz::seeds() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
