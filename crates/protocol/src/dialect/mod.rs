//! Wire formats that carry offers. `mpp` is the Payment scheme in `WWW-Authenticate`.

pub mod mpp;
