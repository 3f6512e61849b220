#!/bin/sh
# What RunPod's container-template/start.sh does, in its order. Differences: a key is not added twice, only modern host
# keys are made, nginx is left alone because the network is this machine's own.
set -e
tools=/opt/devpod_rp

run_hook() {
    if [ -f "$1" ]; then
        echo "$2"
        bash "$1"
    fi
}

setup_ssh() {
    [ -n "$PUBLIC_KEY" ] || return 0
    echo "Setting up SSH..."
    mkdir -p ~/.ssh
    case "$(cat ~/.ssh/authorized_keys 2>/dev/null || true)" in
        *"$PUBLIC_KEY"*) ;;
        *)
            # Only now: a file that a second boot on the same disk touches would look changed by the user.
            printf '%s\n' "$PUBLIC_KEY" >> ~/.ssh/authorized_keys
            chmod 700 ~/.ssh
            chmod 600 ~/.ssh/authorized_keys
            ;;
    esac
    "$tools/ssh-server" keys
    "$tools/ssh-server" start
    echo "SSH host keys:"
    "$tools/ssh-server" fingerprints
}

start_jupyter() {
    [ -n "$JUPYTER_PASSWORD" ] || return 0
    if ! command -v jupyter >/dev/null 2>&1; then
        echo "Jupyter is not in this image."
        return 0
    fi
    echo "Starting Jupyter Lab..."
    (cd / && JUPYTER_TOKEN="$JUPYTER_PASSWORD" nohup jupyter lab --allow-root --no-browser --port=8888 --ip=127.0.0.1 \
        --FileContentsManager.delete_to_trash=False --ServerApp.terminado_settings='{"shell_command":["/bin/bash"]}' \
        --ServerApp.allow_origin='*' --ServerApp.preferred_dir=/workspace > /jupyter.log 2>&1 &)
    echo "Jupyter Lab started"
}

export_env_vars() {
    echo "Exporting environment variables..."
    # As there: unquoted, for anybody to read, names in capitals, of several lines the first.
    printenv | grep -E '^[A-Z_][A-Z0-9_]*=' | grep -v '^PUBLIC_KEY' | sed -e 's/=/="/' -e 's/^/export /' -e 's/$/"/' \
        > /etc/rp_environment
    grep -qxF 'source /etc/rp_environment' ~/.bashrc 2>/dev/null || echo 'source /etc/rp_environment' >> ~/.bashrc
}

run_hook /pre_start.sh "Running pre-start script..."
echo "Pod Started"
setup_ssh
start_jupyter
export_env_vars
echo "Start script(s) finished, Pod is ready to use."
run_hook /post_start.sh "Running post-start script..."
sleep infinity
