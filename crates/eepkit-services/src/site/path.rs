//! Which paths of a folder are published.

use std::path::{Component, Path};

use percent_encoding::percent_decode_str;

/// Whether the path of a request leads to a file or directory below `root`, which is canonical. No
/// part of the path may begin with a dot. Symbolic links are followed, and must stay below `root`.
pub(super) fn is_published(root: &Path, target: &str) -> bool {
    let Ok(decoded) = percent_decode_str(target).decode_utf8() else {
        return false;
    };
    let relative = Path::new(decoded.trim_start_matches('/'));
    let visible = relative.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    });
    if !visible || decoded.contains(['\0', '\\']) {
        return false;
    }
    // Below the root, what the links lead to must not be hidden either.
    root.join(relative).canonicalize().is_ok_and(|found| {
        found.strip_prefix(root).is_ok_and(|below| {
            below
                .components()
                .all(|part| !part.as_os_str().as_encoded_bytes().starts_with(b"."))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_visible_files_below_the_folder_are_published() {
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("secret.txt"), "secret").expect("written");
        let folder = outside.path().join("public");
        fs::create_dir_all(folder.join("a b/.git")).expect("created");
        for file in ["index.html", "a b/page.html", ".hidden", "a b/.git/config"] {
            fs::write(folder.join(file), file).expect("written");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink("a b", folder.join("inside")).expect("linked");
            symlink("../secret.txt", folder.join("outside.txt")).expect("linked");
            symlink("a b/.git", folder.join("history")).expect("linked");
            symlink("/", folder.join("system")).expect("linked");
        }
        let root = folder.canonicalize().expect("there");
        let published = |target: &str| is_published(&root, target);
        for target in [
            "/",
            "/index.html",
            "/a%20b/",
            "/a b/page.html",
            "//index.html",
        ] {
            assert!(published(target), "{target}");
        }
        #[cfg(unix)]
        assert!(published("/inside/page.html"));
        for target in [
            "/missing.html",
            "/.hidden",
            "/%2ehidden",
            "/a%20b/.git/config",
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/a%20b/..%2f..%2f..%2fsecret.txt",
            "/a b/../../secret.txt",
            "/..\\secret.txt",
            "/index.html%00.txt",
            "/%ff",
            "/outside.txt",
            "/history/config",
            "/system/etc/passwd",
            "/index.html/x",
        ] {
            assert!(!published(target), "{target}");
        }
    }
}
