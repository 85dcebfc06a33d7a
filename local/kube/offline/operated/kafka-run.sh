# A broker of kind-offline: its own lines into the settings, its disk formatted once.
set -eu
settings=/tmp/server.properties
sed -e "s/@NODE@/${HOSTNAME##*-}/g" -e "s/@HOST@/$HOSTNAME/g" -e "s/@ZONE@/$ZONE/g" \
    /etc/kafka/server.properties >"$settings"
java="/opt/java/bin/java $KAFKA_HEAP_OPTS -XX:+UseSerialGC -XX:TieredStopAtLevel=1
    -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -Djava.net.preferIPv4Stack=true
    -Djava.io.tmpdir=/tmp -Dlog4j2.configurationFile=/etc/kafka/log4j2.properties
    -cp /opt/kafka/libs/*"
set -f # the star is Java's
if [ ! -e "$DATA/meta.properties" ]; then
    $java kafka.tools.StorageTool format --cluster-id "$CLUSTER_ID" --config "$settings"
fi
exec $java kafka.Kafka "$settings"
