//! The options that the tools share, under their published names.

use clap::Args;

/// `--http-proxy`, `--https-proxy`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ProxyOptions {
    /// A (non-SSL) HTTP proxy: `[scheme://][user:password@]host:port`
    #[arg(long, value_name = "HTTP_PROXY", allow_hyphen_values = true)]
    pub(crate) http_proxy: Option<String>,
    /// An HTTPS proxy: `[scheme://][user:password@]host:port`
    #[arg(long, value_name = "HTTPS_PROXY", allow_hyphen_values = true)]
    pub(crate) https_proxy: Option<String>,
}

/// Where credentials come from.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CredentialOptions {
    /// A credential file, readable only by the owner, with keys 'AWSAccessKeyId' and 'AWSSecretKey'
    #[arg(short = 'f', long, value_name = "CREDENTIAL_FILE", allow_hyphen_values = true)]
    pub(crate) credential_file: Option<String>,
    /// An IAM Role
    #[arg(long, value_name = "IAM_ROLE", allow_hyphen_values = true)]
    pub(crate) role: Option<String>,
    /// An AWS Access Key
    #[arg(long, value_name = "ACCESS_KEY", allow_hyphen_values = true)]
    pub(crate) access_key: Option<String>,
    /// An AWS Secret Key
    #[arg(long, value_name = "SECRET_KEY", allow_hyphen_values = true)]
    pub(crate) secret_key: Option<String>,
}

/// Reads a tool's arguments; `Err` has the exit code when there is nothing more to do: 0 after `--help`, 2 after an
/// error, as with Python's optparse.
pub(crate) fn parse<T: clap::Parser>(name: &str, arguments: &[std::ffi::OsString]) -> Result<T, u8> {
    let argv = std::iter::once(std::ffi::OsString::from(name)).chain(arguments.iter().cloned());
    T::try_parse_from(argv).map_err(|error| {
        // The pipe that help went into may be closed; then nobody reads it.
        let _ = error.print();
        if error.use_stderr() { 2 } else { 0 }
    })
}
