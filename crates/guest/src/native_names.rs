//! What things are called where: Amazon Linux's names of packages and services, and Debian's.
//!
//! Invariant: a name that no table knows is the same everywhere.

/// Amazon Linux's packages, and Debian's that do the same; several packages stand with blanks between them. Nothing
/// means that there is nothing to install: Millpond brings it, or another package of Debian's has it inside.
const PACKAGES: &[(&str, &str)] = &[
    ("amazon-linux-extras", ""),
    ("aws-cfn-bootstrap", ""),
    ("bind-utils", "dnsutils"),
    ("cronie", "cron"),
    ("docker-ce", "docker.io"),
    ("docker", "docker.io"),
    ("ec2-utils", ""),
    ("ec2-net-utils", ""),
    ("epel-release", ""),
    ("gcc-c++", "g++"),
    ("httpd", "apache2"),
    ("httpd-devel", "apache2-dev"),
    ("httpd-tools", "apache2-utils"),
    ("httpd24", "apache2"),
    ("httpd24-tools", "apache2-utils"),
    ("iproute", "iproute2"),
    ("java-1.7.0-openjdk", "default-jre-headless"),
    ("java-1.8.0-openjdk", "default-jre-headless"),
    ("java-1.8.0-openjdk-devel", "default-jdk-headless"),
    ("java-11-amazon-corretto", "default-jre-headless"),
    ("java-17-amazon-corretto", "default-jre-headless"),
    ("java-17-amazon-corretto-devel", "default-jdk-headless"),
    ("libcurl-devel", "libcurl4-openssl-dev"),
    ("libjpeg-turbo-devel", "libjpeg-dev"),
    ("libpng-devel", "libpng-dev"),
    ("mariadb", "mariadb-client"),
    ("mariadb105", "mariadb-client"),
    ("mariadb105-server", "mariadb-server"),
    ("mod24_ssl", ""),
    ("mod_ssl", ""),
    ("mysql", "mariadb-client"),
    ("mysql-devel", "libmariadb-dev"),
    ("mysql-libs", "libmariadb3"),
    ("mysql-server", "mariadb-server"),
    ("mysql51-server", "mariadb-server"),
    ("mysql55", "mariadb-client"),
    ("mysql55-server", "mariadb-server"),
    ("mysql56-server", "mariadb-server"),
    ("nc", "netcat-openbsd"),
    ("nmap-ncat", "netcat-openbsd"),
    ("ncurses-devel", "libncurses-dev"),
    ("openssh-clients", "openssh-client"),
    ("openssl-devel", "libssl-dev"),
    ("pcre-devel", "libpcre3-dev"),
    ("php", "php libapache2-mod-php"),
    ("php-mysqlnd", "php-mysql"),
    ("php-process", ""),
    ("php-pdo", ""),
    ("php56", "php libapache2-mod-php"),
    ("php56-mysqlnd", "php-mysql"),
    ("php70", "php libapache2-mod-php"),
    ("php70-mysqlnd", "php-mysql"),
    ("postgresql", "postgresql-client"),
    ("postgresql-server", "postgresql"),
    ("procps-ng", "procps"),
    ("python", "python3"),
    ("python-devel", "python3-dev"),
    ("python-pip", "python3-pip"),
    ("python27", "python3"),
    ("python27-pip", "python3-pip"),
    ("python3-devel", "python3-dev"),
    ("python36", "python3"),
    ("redis", "redis-server"),
    ("redis6", "redis-server"),
    ("ruby-devel", "ruby-dev"),
    ("shadow-utils", "passwd"),
    ("stress", "stress"),
    ("system-lsb", "lsb-release"),
    ("util-linux-ng", "util-linux"),
    ("vim-enhanced", "vim"),
    ("vim-minimal", "vim-tiny"),
    ("xz-devel", "liblzma-dev"),
    ("zlib-devel", "zlib1g-dev"),
];

/// Amazon Linux's services, and what else they are called.
const SERVICES: &[(&str, &[&str])] = &[
    ("crond", &["cron"]),
    ("httpd", &["apache2"]),
    ("httpd24", &["httpd", "apache2"]),
    ("mariadb", &["mysql"]),
    ("mysqld", &["mariadb", "mysql"]),
    ("mysql", &["mariadb"]),
    ("named", &["bind9"]),
    ("nfs", &["nfs-kernel-server"]),
    ("redis", &["redis-server"]),
    ("redis6", &["redis-server", "redis"]),
    ("rsyslogd", &["rsyslog"]),
    ("sshd", &["ssh"]),
    ("tomcat", &["tomcat10", "tomcat9"]),
];

/// Debian's packages for one of Amazon Linux's. Empty when there is nothing to install.
pub(crate) fn debian_packages(name: &str) -> Vec<String> {
    let known = PACKAGES.iter().find(|(amazon, _)| *amazon == name).map(|(_, debian)| *debian);
    match (known, name.strip_suffix("-devel")) {
        (Some(debian), _) => debian.split_whitespace().map(str::to_owned).collect(),
        (None, Some(library)) => vec![format!("{library}-dev")],
        (None, None) => vec![name.to_owned()],
    }
}

/// A service's names, the one that was asked for first.
pub(crate) fn service_names(name: &str) -> Vec<&str> {
    let name = name.strip_suffix(".service").unwrap_or(name);
    let others = SERVICES.iter().find(|(amazon, _)| *amazon == name).map_or(&[][..], |(_, others)| others);
    std::iter::once(name).chain(others.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_are_translated_and_others_stay() {
        assert_eq!(debian_packages("httpd"), ["apache2"]);
        assert_eq!(debian_packages("mysql-server"), ["mariadb-server"]);
        assert_eq!(debian_packages("php"), ["php", "libapache2-mod-php"]);
        assert_eq!(debian_packages("aws-cfn-bootstrap"), [""; 0]);
        assert_eq!(debian_packages("libxml2-devel"), ["libxml2-dev"]);
        assert_eq!(debian_packages("git"), ["git"]);
        assert_eq!(service_names("httpd"), ["httpd", "apache2"]);
        assert_eq!(service_names("nginx.service"), ["nginx"]);
    }
}
