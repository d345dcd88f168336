//! Link options of a library that an Erlang emulator loads.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target_os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target_os.as_str() {
        // The `enif_*` symbols are found when the emulator loads the library, not when it is linked.
        "macos" => {
            println!("cargo::rustc-cdylib-link-arg=-undefined");
            println!("cargo::rustc-cdylib-link-arg=dynamic_lookup");
        }
        // The recorder's threads and thread-locals outlive a purge of `ElixirScope.Native`: stay mapped.
        "linux" => println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete"),
        _ => {}
    }
}
