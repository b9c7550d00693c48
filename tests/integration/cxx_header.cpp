// The public headers are for C++ programs and plugins, too.
#include <synk/client.h>
#include <synk/worker.h>

int main()
{
    synk_client *client = nullptr;
    synk_error error;
    return synk_client_open(nullptr, &client, &error) == SYNK_OK ? 0 : 1;
}
