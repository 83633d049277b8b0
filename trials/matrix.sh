#!/usr/bin/env bash
# Install the package beside other versions of what it needs, and run its tests there.
#   trials/matrix.sh [NAME...]          of the environments below; all by default
# Environment: TESTS (what to run; all by default), FOLDER (of the environments, kept between calls), PYTHON310,
# PYTHON311, PYTHON312 (interpreters). A row of the table is printed for each environment; the
# status is not 0 if one was not installed or failed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${FOLDER:-$(mktemp -d)}
read -ra tests <<<"${TESTS:-tests}"
export OMP_NUM_THREADS=1

# name, interpreter, packages, and after "then" those that are built with the others there. mmcv 2.1.0 is built from
# source, and only with torch that needs no more than C++17: 2.14 needs C++20. The OneDL fork's is built where torch is
# not, as pip does by itself, and is then without compiled operations.
environments() {
  cat <<'LIST'
pinned-3.10  3.10  -r requirements.txt
pinned-3.11  3.11  -r requirements.txt
pinned-3.12  3.12  -r requirements.txt
oldest       3.10  torch==2.9.1 torchvision==0.24.1 mmengine==0.10.4 mmcv-lite==2.1.0 mmdet==3.3.0 numpy==2.0.2 scipy==1.13.1 matplotlib==3.9.4 Pillow==11.0.0 pycocotools==2.0.8 PyYAML==6.0.2 rich==14.3.3 safetensors==0.4.5 filelock==3.16.1 tensorboard==2.17.1 setuptools==80.9.0 opencv-python==4.13.0.92
full-mmcv    3.10  torch==2.9.1 torchvision==0.24.1 mmengine==0.10.4 mmdet==3.3.0 numpy==2.0.2 scipy==1.13.1 matplotlib==3.9.4 Pillow==11.0.0 pycocotools==2.0.8 PyYAML==6.0.2 rich==14.3.3 safetensors==0.4.5 filelock==3.16.1 tensorboard==2.17.1 setuptools==80.9.0 opencv-python==4.13.0.92 then --no-build-isolation --no-binary=mmcv mmcv==2.1.0
onedl        3.11  torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2 Pillow pycocotools==2.0.11 PyYAML rich safetensors==0.8.0 tensorboard==2.21.0 setuptools==80.9.0 opencv-python==5.0.0.93 then onedl-mmcv onedl-mmengine onedl-mmdetection
LIST
}
TOOLS=(ninja pytest==9.2.0 pytest-xdist==3.8.0 ruff==0.17.6 mypy==2.4.1 hypothesis==6.168.5 timm==1.0.31 supervision)

row() { printf '| %-11s | %-46s | %s |\n' "$@"; }

row environment "Python, torch, mmcv, mmengine, mmdet, numpy" result
row --- --- ---
failed=0
while read -r name version packages; do
  [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
  place=$folder/$name
  variable=PYTHON${version/./}
  read -ra wanted <<<"${packages%% then *}"
  built=()
  [[ $packages == *" then "* ]] && read -ra built <<<"${packages##* then }"
  if [[ ! -e $place/ready ]]; then
    rm -rf "$place"
    "${!variable:-python$version}" -m venv "$place" &&
      (cd "$root" && "$place/bin/pip" install -q "${wanted[@]}" "${TOOLS[@]}" &&
        { ((${#built[@]} == 0)) || MMCV_WITH_OPS=1 "$place/bin/pip" install -q "${built[@]}"; } &&
        "$place/bin/pip" install -q --no-deps --no-build-isolation -e .) >"$place.install.log" 2>&1 </dev/null &&
      touch "$place/ready"
  fi
  if [[ ! -e $place/ready ]]; then
    row "$name" "Python $version" "not installed: $(grep -i error "$place.install.log" | tail -1 | cut -c1-120)"
    failed=1
    continue
  fi
  versions=$("$place/bin/python" - <<'PY' 2>/dev/null
import platform
from importlib.metadata import PackageNotFoundError, version
def of(*names):
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            pass
    return "-"
print(platform.python_version(), of("torch"), of("mmcv", "onedl-mmcv", "mmcv-lite"), of("onedl-mmengine", "mmengine"),
      of("onedl-mmdetection", "mmdet"), of("numpy"), sep=", ")
PY
  )
  (cd "$root" && "$place/bin/python" -m pytest "${tests[@]}" -p no:cacheprovider) >"$place.test.log" 2>&1 </dev/null || failed=1
  row "$name" "$versions" "$(tail -1 "$place.test.log" | tr -d '=' | cut -c1-100)"
done < <(environments)
exit "$failed"
