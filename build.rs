//! Checks that the player page is built: the binary embeds `web/dist`, and `migrations`.

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=migrations");
    if !std::path::Path::new("web/dist/player.html").exists() {
        println!("cargo::error=web/dist/player.html is missing: run `make web`");
    }
}
