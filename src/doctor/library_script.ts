/**
 * The step of `--fix` that installs librknnrt: a file of the user's, which is looked at before it
 * takes the old one's place, or else the vendor's of the newest published tag. What is there is
 * kept, and never replaced by an older one that nobody asked for.
 */

/** The vendor's library, and the git object that it is, which a download is held against. */
export const VENDOR_LIBRARY = {
  version: "2.3.2",
  /** Where it is, and newer ones will be. */
  place: "github.com/airockchip/rknn-toolkit2 (rknpu2/runtime/Linux/librknn_api/aarch64)",
  url:
    "https://github.com/airockchip/rknn-toolkit2/raw/v2.3.2/" +
    "rknpu2/runtime/Linux/librknn_api/aarch64/librknnrt.so",
  gitObject: "e53a2b6ec332f2863df5c70cd9f6ebec9dbef397",
} as const;

/** How a script that `--fix` printed takes a file of the user's. */
export const OWN_LIBRARY = "sudo LIBRKNNRT=/path/to/librknnrt.so bash setup.sh";

const { version, url, gitObject, place } = VENDOR_LIBRARY;

/** Bash: what is wrong with a file, and what it calls its version. */
const LOOK = `
# What is wrong with a file as the board's library; nothing where it is one. A file that was cut
# off lacks the table of sections, which stands at the end.
fault_of() {
  if [ ! -f "$1" ]; then echo "there is no such file"; return; fi
  case "$(od -A n -v -t x1 -N 20 "$1" | tr -d ' \\n')" in
    7f454c460201*b700) ;;
    7f454c46*) echo "it is not for 64-bit ARM (aarch64)"; return ;;
    *) echo "it is no library (ELF)"; return ;;
  esac
  local bytes at each count
  bytes="$(stat -L -c %s "$1")"
  if [ "$bytes" -lt 64 ]; then echo "it is cut off"; return; fi
  at="$(od -A n -t u8 -j 40 -N 8 "$1")"
  each="$(od -A n -t u2 -j 58 -N 2 "$1")"
  count="$(od -A n -t u2 -j 60 -N 2 "$1")"
  local end=$((at + each * count))
  if [ "$end" -lt 64 ] || [ "$end" -gt "$bytes" ]; then echo "it is cut off"; return; fi
  if [ -z "$(version_of "$1")" ]; then echo "it is not librknnrt"; fi
}
version_of() {
  grep -ao 'librknnrt version: [0-9.]*' "$1" 2>/dev/null | sed -n '1s/.*: //p'
}
is_at_least() { [ "$(printf '%s\\n' "$1" "$2" | sort -V | tail -n 1)" = "$1" ]; }
`;

const DOWNLOAD = `
download() {
  local url=${url}
  if command -v curl >/dev/null; then
    curl --fail --location --silent --show-error --output "$1" "$url"
  elif command -v wget >/dev/null; then
    wget --quiet --output-document="$1" "$url"
  elif command -v python3 >/dev/null; then
    python3 -c 'import sys, urllib.request as web; web.urlretrieve(*sys.argv[1:])' "$url" "$1"
  else
    echo "library: there is no curl, wget or python3 to download it with" >&2
    return 1
  fi
}
file="\${LIBRKNNRT:-}"
if [ -n "$file" ]; then
  :
elif [ -n "$have" ] && is_at_least "$have" ${version}; then
  echo "library: librknnrt $have is there, and this script has ${version}: nothing is downloaded"
else
  scratch="$(mktemp -d)"
  trap 'rm -rf "$scratch"' EXIT
  file="$scratch/librknnrt.so"
  if ! download "$file"; then
    echo "library: cannot download librknnrt ${version}. Get it elsewhere, then:" >&2
    echo "  sudo LIBRKNNRT=/path/to/librknnrt.so bash $0" >&2
    exit 1
  fi
  object="$({ printf 'blob %s\\0' "$(stat -c %s "$file")"; cat "$file"; } |
    sha1sum | cut -d ' ' -f 1)"
  if [ "$object" != ${gitObject} ]; then
    echo "library: the download is not librknnrt ${version}" >&2
    exit 1
  fi
fi
`;

const NO_DOWNLOAD = `
file="\${LIBRKNNRT:-}"
if [ -z "$file" ]; then
  echo "library: one newer than \${have:-none} is needed, which is not in this script. Get it from"
  echo "  ${place}"
  echo "and run: sudo LIBRKNNRT=/path/to/librknnrt.so bash $0"
fi
`;

const INSTALL = `
if [ -n "$file" ]; then
  fault="$(fault_of "$file")"
  if [ -n "$fault" ]; then echo "library: cannot install $file: $fault" >&2; exit 1; fi
  if [ -e "$target" ] && ! cmp -s "$file" "$target"; then
    # The first that was there stays librknnrt.so.before; later ones are numbered.
    before="$target.before"
    number=1
    while [ -e "$before" ] && ! cmp -s "$target" "$before"; do
      number=$((number + 1))
      before="$target.before.$number"
    done
    if [ ! -e "$before" ]; then cp -p "$target" "$before"; fi
    echo "library: the one that was there is kept as $before"
  fi
  if ! cmp -s "$file" "$target"; then
    install -o root -g root -m 0644 "$file" "$target.new"
    mv "$target.new" "$target"
  fi
  ldconfig
  echo "library: $target is librknnrt $(version_of "$target")"
fi
`;

/** @param canDownload whether the vendor's library, as it is published, is what is needed */
export function renderLibraryStep(canDownload: boolean): string {
  const otherwise = canDownload
    ? `Otherwise the vendor's ${version} is downloaded and checked, unless one as new is there.`
    : "Otherwise nothing is changed: what is needed is newer than what the vendor has published.";
  return `
# Library: LIBRKNNRT=/path/to/librknnrt.so takes a file of yours, such as the one that came with
# the toolkit that converted the model: ${OWN_LIBRARY}
# ${otherwise}
target=/usr/lib/librknnrt.so
${LOOK.trim()}
# The one that is used is the first of these; one that is broken does not count.
have=""
for there in "$target" /usr/lib/aarch64-linux-gnu/librknnrt.so /usr/local/lib/librknnrt.so; do
  if [ ! -e "$there" ]; then continue; fi
  if [ -z "$(fault_of "$there")" ]; then have="$(version_of "$there")"; fi
  break
done
${(canDownload ? DOWNLOAD : NO_DOWNLOAD).trim()}
${INSTALL.trim()}
`;
}
