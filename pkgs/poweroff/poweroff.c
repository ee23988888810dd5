/* Turns the machine off after some seconds: poweroff [SECONDS]. Needs CAP_SYS_BOOT. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

/* Longer than anyone waits: more is a mistake. */
static const long most_seconds = 24L * 60 * 60;

int main(int count, char **arguments)
{
	long seconds = 0;

	if (count > 2) {
		fprintf(stderr, "usage: %s [SECONDS]\n", arguments[0]);
		return 2;
	}
	if (count == 2) {
		char *end;

		errno = 0;
		seconds = strtol(arguments[1], &end, 10);
		if (errno || end == arguments[1] || *end || seconds < 0 || seconds > most_seconds) {
			fprintf(stderr, "poweroff: not a number of seconds: %s\n", arguments[1]);
			return 2;
		}
	}
	for (unsigned left = (unsigned)seconds; left > 0;)
		left = sleep(left);
	sync();
	if (reboot(RB_POWER_OFF)) {
		fprintf(stderr, "poweroff: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
