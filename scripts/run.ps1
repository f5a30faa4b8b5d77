# Starts QuantAI-Trad on Windows; the first time it sets everything up. The twin of run.sh.
#   powershell -ExecutionPolicy Bypass -File scripts\run.ps1 [-Headless] [-SetupOnly] [-With deep,api] [arguments]
param(
    [switch]$Headless,
    [switch]$SetupOnly,
    [string[]]$With = @(),
    [Parameter(ValueFromRemainingArguments = $true)][string[]]$Arguments = @()
)
$ErrorActionPreference = "Stop"
$Root = (Resolve-Path (Join-Path $PSScriptRoot "..")).Path
$Venv = Join-Path $Root ".venv"
$Python = Join-Path $Venv "Scripts\python.exe"
Remove-Item Env:PYTHONDONTWRITEBYTECODE, Env:PYTHONHOME -ErrorAction SilentlyContinue

if (-not (Test-Path $Python)) {
    $Found = $null
    foreach ($Version in "3.13", "3.12", "3.11", "3.14") {
        & py "-$Version" -c "" 2>$null
        if ($LASTEXITCODE -eq 0) { $Found = $Version; break }
    }
    if (-not $Found) { Write-Error "Python 3.11 or newer was not found: install it from python.org and start again." }
    Write-Host "==> making .venv with Python $Found"
    & py "-$Found" -m venv $Venv
    if ($LASTEXITCODE -ne 0) { Write-Error "could not make $Venv" }
}

foreach ($Set in @("core") + ($With -join "," -split "," | Where-Object { $_ })) {
    $Name = if ($Set -eq "core") { "requirements.txt" } else { "requirements-$Set.txt" }
    $File = Join-Path $Root $Name
    if (-not (Test-Path $File)) { Write-Error "there is no extra '$Set'" }
    $Stamp = Join-Path $Venv ".ready-$Set"
    $Key = (Get-FileHash $File -Algorithm SHA256).Hash
    if ((Test-Path $Stamp) -and ((Get-Content $Stamp -Raw).Trim() -eq $Key)) { continue }
    Write-Host "==> installing $Name"
    & $Python -m pip install --quiet --disable-pip-version-check uv
    & $Python -m uv pip install --python $Python --compile-bytecode -r $File
    if ($LASTEXITCODE -ne 0) { Write-Error "the packages of $Name could not be installed (message above)" }
    Set-Content -Path $Stamp -Value $Key
}
if ($SetupOnly) { exit 0 }

$env:PYTHONPATH = $Root
$Module = if ($Headless -or ($Arguments.Count -gt 0 -and -not $Arguments[0].StartsWith("-"))) { "app.main" } else { "dashboard.app" }
& $Python -P -m $Module @Arguments
exit $LASTEXITCODE
