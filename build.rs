//! Checks that the pages are built: the binary embeds `web/dist`, and `migrations`.

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=migrations");
    for page in ["panel", "player", "publish"] {
        if !std::path::Path::new(&format!("web/dist/{page}.html")).exists() {
            println!("cargo::error=web/dist/{page}.html is missing: run `make web`");
        }
    }
}
