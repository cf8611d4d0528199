//! Passes the option to the linker of macOS by which Python provides missing symbols. Other systems need nothing.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
