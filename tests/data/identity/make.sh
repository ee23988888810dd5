#!/bin/sh
# Golden vectors for src/identity, made by git's own commands and not by lkpkg.
#
#   make.sh repositories DIR   builds one repository a case below DIR, the same bytes every time
#   make.sh expected DIR       prints what linuxkit would make of each package there, as tab-separated lines:
#                              case, package, hash path, commit, force-dirty, extra sources, dirty, hash
#   make.sh expect_one DIR     prints the last two columns for DIR/clean/pkgs/a
#
# To renew the vectors: make.sh repositories /tmp/x && make.sh expected /tmp/x > expected.tsv
set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C TZ=UTC
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1700000000 +0200'
export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org GIT_COMMITTER_DATE='1700000000 +0200'
umask 022

# Enters a new repository with two packages, shared sources and two commits.
base() {
    git init -q -b main "$@"
    for last; do :; done
    cd "$last"
    mkdir -p pkgs/a/sub/deep pkgs/b shared/one shared/two
    printf '*.log\nignored/\n!keep.log\n' > .gitignore
    printf 'image: a\n' > pkgs/a/build.yml
    printf 'FROM scratch\n' > pkgs/a/Dockerfile
    printf '#!/bin/sh\n' > pkgs/a/run.sh
    chmod +x pkgs/a/run.sh
    printf 'deep\n' > pkgs/a/sub/deep/file
    printf 'z\n' > pkgs/a/z
    ln -s sub/deep/file pkgs/a/link
    printf 'image: b\n' > pkgs/b/build.yml
    printf 'FROM scratch\n' > pkgs/b/Dockerfile
    printf 'one\n' > shared/one/1
    printf 'two\n' > shared/two/2
    git add -A
    git commit -qm first
    printf 'FROM busybox\n' > pkgs/a/Dockerfile
    git commit -qam second
    cd - > /dev/null
}

# A repository of this name, changed by the command that follows.
change() {
    base "$1"
    (cd "$1" && eval "$2")
}

repositories() {
    mkdir -p "$1"
    cd "$1"
    base clean
    change modified 'echo more >> pkgs/a/Dockerfile'
    change modified-beside 'echo more >> pkgs/b/Dockerfile; echo new > pkgs/b/new; echo x > pkgs/ab'
    change staged 'echo more >> pkgs/a/z; git add -A'
    change staged-new 'echo new > pkgs/a/new; git add -A'
    change staged-and-reverted 'cp pkgs/a/z z; echo more >> pkgs/a/z; git add pkgs; mv z pkgs/a/z'
    change staged-and-deleted 'echo new > pkgs/a/new; git add pkgs; rm pkgs/a/new'
    change untracked-again 'git rm -q --cached pkgs/a/z'
    change deleted 'rm pkgs/a/z'
    change touched 'touch -d 2001-01-01 pkgs/a/z pkgs/a/Dockerfile'
    change untracked 'echo 1 > pkgs/a/new; echo 2 > "pkgs/a/a b"; mkdir pkgs/a/t; echo 3 > pkgs/a/t/3; ln -s new pkgs/a/y'
    # shellcheck disable=SC2016
    change untracked-order 'for n in a-b a/c a.d a0 zz; do mkdir -p "pkgs/a/$(dirname $n)"; echo $n > pkgs/a/$n; done'
    change quoted-names 'echo 1 > pkgs/a/é; echo 2 > "pkgs/a/q\"q"; printf 3 > "pkgs/a/t	t"; echo 4 > pkgs/a/plain'
    change unquoted-names 'git config core.quotePath false; echo 1 > pkgs/a/é; echo 2 > pkgs/a/plain'
    change untracked-empty-directory 'mkdir -p pkgs/a/empty/er'
    change untracked-fifo 'mkfifo pkgs/a/fifo'
    change untracked-repository 'git init -q pkgs/a/nested; echo 1 > pkgs/a/nested/1; git -C pkgs/a/nested add -A; git -C pkgs/a/nested commit -qm n'
    change ignored 'echo 1 > pkgs/a/x.log; mkdir pkgs/a/ignored; echo 2 > pkgs/a/ignored/2; echo p >> .git/info/exclude; echo 3 > pkgs/a/p'
    change ignored-not 'echo 1 > pkgs/a/keep.log'
    change ignored-nested 'printf "*\n!keep\n" > pkgs/a/sub/.gitignore; git add -Af; git commit -qm g; echo 1 > pkgs/a/sub/x; mkdir pkgs/a/sub/y; echo 1 > pkgs/a/sub/y/keep'
    change ignored-by-link 'echo z > pkgs/a/rules; ln -s ../rules pkgs/a/sub/.gitignore; echo 1 > pkgs/a/sub/z'
    change ignored-by-link-above 'echo z > pkgs/rules; ln -s rules pkgs/.gitignore; echo 1 > pkgs/a/sub/z'
    change ignored-by-hidden-link 'printf "*\n" > pkgs/a/sub/all; ln -s all pkgs/a/sub/.gitignore'
    change ignored-tracked 'echo 1 > pkgs/a/t.log; git add -f pkgs; git commit -qm log; echo 2 >> pkgs/a/t.log'
    change mode 'chmod +x pkgs/a/Dockerfile'
    change mode-not-kept 'git config core.fileMode false; chmod +x pkgs/a/Dockerfile'
    change symlink 'ln -sf z pkgs/a/link'
    change symlink-to-file 'rm pkgs/a/link; echo file > pkgs/a/link'
    change file-to-directory 'rm pkgs/a/z; mkdir pkgs/a/z; echo 1 > pkgs/a/z/1'
    change directory-to-file 'rm -r pkgs/a/sub; echo 1 > pkgs/a/sub'
    change conflict 'git checkout -qb other; echo o > pkgs/a/z; git commit -qam o; git checkout -q main; echo m > pkgs/a/z; git commit -qam m; git merge -q other > /dev/null 2>&1 || :'
    change intent-to-add 'echo new > pkgs/a/new; git add -N pkgs'
    change assume-unchanged 'git update-index --assume-unchanged pkgs/a/z; echo more >> pkgs/a/z'
    change skip-worktree 'git update-index --skip-worktree pkgs/a/z; rm pkgs/a/z'
    change index-4 'git update-index --index-version 4; echo more >> pkgs/a/z'
    change split-index 'git update-index --split-index; touch -d 2001-01-01 pkgs/a/z'
    change split-index-dirty 'git update-index --split-index; echo more >> pkgs/a/z; echo 1 > pkgs/a/new'
    change sparse 'git sparse-checkout set --no-cone "/*" "!/pkgs/a/sub"'
    change sparse-dirty 'git sparse-checkout set --no-cone "/*" "!/pkgs/a/sub"; echo more >> pkgs/a/z; echo 1 > pkgs/a/new'
    change sparse-cone 'git sparse-checkout set --cone --sparse-index pkgs/a; echo more >> pkgs/a/z'
    filter='git config filter.up.clean "tr a-z A-Z"; git config filter.up.smudge "tr A-Z a-z"; echo "z filter=up" > pkgs/a/.gitattributes; git add -A; git commit -qm f; rm pkgs/a/z; git checkout -q pkgs/a/z'
    change filter "$filter; touch -d 2001-01-01 pkgs/a/z"
    change filter-dirty "$filter; echo more >> pkgs/a/z"
    change crlf 'echo "*.txt text eol=crlf" > .gitattributes; printf "1\n2\n" > pkgs/a/t.txt; git add -A; git commit -qm t; rm pkgs/a/t.txt; git checkout -q pkgs; touch -d 2001-01-01 pkgs/a/t.txt'
    change encoding 'echo "*.u text working-tree-encoding=UTF-16LE" > .gitattributes; printf "1\0\n\0" > pkgs/a/t.u; git add -A; git commit -qm t; touch -d 2001-01-01 pkgs/a/t.u'
    change detached 'git checkout -q HEAD~1'
    change replaced 'git replace HEAD^{tree} HEAD~1^{tree}; git read-tree HEAD; git checkout -q pkgs'
    change packed 'git gc -q; git pack-refs --all'
    change worktree 'git worktree add -q ../worktree-linked > /dev/null; echo more >> ../worktree-linked/pkgs/a/z'
    base --object-format=sha256 sha256
    base --object-format=sha256 sha256-dirty
    echo more >> sha256-dirty/pkgs/a/z
    git init -q -b main top
    (cd top && printf 'image: top\n' > build.yml && printf 'FROM scratch\n' > Dockerfile && git add -A && git commit -qm top)
    cp -r top top-dirty
    echo new > top-dirty/new
    submodule='git -c protocol.file.allow=always submodule --quiet add ../top pkgs/a/module 2> /dev/null; git commit -qam m'
    change submodule "$submodule"
    change submodule-untracked "$submodule; echo 1 > pkgs/a/module/new"
    change submodule-modified "$submodule; echo 1 >> pkgs/a/module/Dockerfile"
    change submodule-committed "$submodule; echo 1 >> pkgs/a/module/Dockerfile; git -C pkgs/a/module commit -qam s"
    change submodule-missing "$submodule; git submodule --quiet deinit -f pkgs/a/module"
    git -C clean config uploadpack.allowFilter true
    git clone -q --filter=blob:none "file://$PWD/clean" partial
    change history 'git tag v0.9.0 HEAD~1; git tag -am r v0.10.0 HEAD~1; git tag v0.10 HEAD; git tag other HEAD'
    change history-merged 'git tag v1.0.0-rc.1; git checkout -qb side HEAD~1; echo s > s; git add s; git commit -qm s; git tag v0.1.0; git checkout -q main; git merge -q --no-edit side'
    change history-tagged 'git tag v1.2.3; git tag -am r v1.2.4-rc.1; git tag v1.10.0 HEAD~1'
}

# expect CASE PACKAGE [HASH_PATH|-] [COMMIT] [FORCE_DIRTY] [SOURCES, with spaces between]: the way linuxkit goes.
expect() {
    case_name=$1 package=$1/$2 hash_path=${3:--} commit=${4:-HEAD} force=${5:-no} sources=${6:-}
    package=${package%/.}
    if [ "$hash_path" = - ]; then path=$PWD/$package; else path=$PWD/$case_name/$hash_path; fi
    path=${path%/.}
    dirty=$force
    if [ "$commit" = HEAD ]; then
        git -C "$package" diff --no-ext-diff --exit-code --quiet "$commit" -- "$path" || dirty=yes
        if git -C "$package" ls-files --exclude-standard --others --error-unmatch -- "$path" > /dev/null 2>&1; then
            dirty=yes
        fi
    fi
    hash=$(tree "$package" "$path" "$commit")
    if [ -n "$sources" ]; then
        text=$hash
        for source in $sources; do
            source=$PWD/$case_name/$source
            text=$text$(tree "$source" "${source%/.}" "$commit")
        done
        hash=$(printf %s "$text" | sha1sum | cut -c1-40)
    fi
    if [ "$dirty" = yes ]; then
        hash=$hash-dirty-$(contents "$package" | sha256sum | cut -c1-7)
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$hash_path" "$commit" "$force" "$sources" "$dirty" "$hash"
}

tree() {
    if [ "$(git -C "$1" rev-parse --show-toplevel)" = "$2" ]; then
        git -C "$1" show --format=%T -s "$3"
    else
        git -C "$1" ls-tree --full-tree "$3" -- "$2" | cut -f1 | cut -d' ' -f3
    fi
}

contents() {
    { git -C "$1" ls-files; git -C "$1" ls-files --exclude-standard --others; } | while IFS= read -r name; do
        if [ -f "$1/$name" ] && [ ! -L "$1/$name" ]; then cat "$1/$name"; fi
    done
}

expected() {
    cd "$1"
    for directory in *; do
        case $directory in
        top*) expect "$directory" . ;;
        history*) ;;
        *) expect "$directory" pkgs/a ;;
        esac
    done
    expect clean pkgs/b
    expect clean pkgs/a pkgs
    expect clean pkgs/a .
    expect clean pkgs/a - HEAD~1
    expect clean pkgs/a - main
    expect clean pkgs/a - HEAD yes
    expect clean pkgs/a - HEAD~1 yes
    expect clean pkgs/a - HEAD no 'shared/one'
    expect clean pkgs/a - HEAD no 'shared/one shared/two'
    expect clean pkgs/a - HEAD no 'shared/two shared/one'
    expect clean pkgs/a - HEAD no 'pkgs/b .'
    expect clean pkgs/a - HEAD~1 no 'shared/one pkgs/a/sub'
    expect modified pkgs/a - HEAD no 'shared/one'
    expect modified pkgs/a - HEAD~1 no
    expect modified pkgs/b
    expect modified pkgs/b - HEAD no 'pkgs/a'
    expect modified pkgs/b pkgs
    expect modified-beside pkgs/a pkgs
    expect modified-beside pkgs/b
    expect sha256 pkgs/a - HEAD no 'shared/one shared/two'
    expect submodule pkgs/a/module
    expect submodule-modified pkgs/a/module
    expect submodule-missing pkgs/a - HEAD no 'pkgs/a/module'
    expect submodule pkgs/b - HEAD no 'pkgs/a/module'
    expect top . - HEAD no .
}

expect_one() {
    cd "$1"
    expect clean pkgs/a | cut -f7,8
}

directory=$(mkdir -p "$2" && cd "$2" && pwd -P)
"$1" "$directory"
