#!/bin/sh
# Says which machine this image was built for, and where it runs.
echo "hello from an image for @machine@, on $(uname -s) $(uname -m)"
