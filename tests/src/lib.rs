//! What the tests of every operation share.

use ghostlight_kernels::Client;

/// The default device of the runtimes that this build links.
pub fn client() -> Client {
    cubecl::Device::default().client()
}
